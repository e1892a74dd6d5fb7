"""How a model is run: kernels, threads, batch size and which of LiteRT's interfaces."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import Any

KERNELS = ("xnnpack", "builtin", "reference")
RUNTIMES = ("interpreter", "compiled")
_MOST_THREADS = 256
_LARGEST_BATCH = 2**20


@dataclass(frozen=True)
class Setting:
    """One way to run a model.

    Args:
        kernels: `"xnnpack"`, LiteRT's default; `"builtin"`, its own optimised ones; or
            `"reference"`, the plain ones that others are checked against. Defaults to `"xnnpack"`.
        threads: Of the kernels. Defaults to `1`.
        batch: Samples in an invocation. Defaults to `None`: as the file has it.
        runtime: `"interpreter"`, or `"compiled"` for LiteRT's CompiledModel. Defaults to
            `"interpreter"`.

    Raises:
        ValueError: A value that is not among these, or reference kernels of a CompiledModel.
    """

    kernels: str = "xnnpack"
    threads: int = 1
    batch: int | None = None
    runtime: str = "interpreter"

    def __post_init__(self):
        for name, value, known in (
            ("kernels", self.kernels, KERNELS),
            ("runtime", self.runtime, RUNTIMES),
        ):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")
        if (self.kernels, self.runtime) == ("reference", "compiled"):
            raise ValueError(
                "LiteRT's CompiledModel takes its builtin kernels where kernels='reference' are "
                "asked for: runtime='interpreter' has them"
            )
        _check_count("threads", self.threads, _MOST_THREADS)
        if self.batch is not None:
            _check_count("batch", self.batch, _LARGEST_BATCH)

    def words(self, among: Iterable["Setting"]) -> str:
        """What tells it from the others: `"builtin, 2 threads"`; empty where nothing does."""
        among = list(among)
        differing = [
            text
            for name, text in (
                ("kernels", self.kernels),
                ("threads", f"{self.threads} thread{'s' * (self.threads > 1)}"),
                ("batch", "own batch" if self.batch is None else f"batch {self.batch}"),
                ("runtime", self.runtime),
            )
            if len({getattr(setting, name) for setting in among}) > 1
        ]
        return ", ".join(differing)


def settings_of(kernels: Any, threads: Any, batch: Any, runtime: Any) -> list[Setting]:
    """Every combination of the values, each of them one or a list.

    Example:
        >>> settings_of(["xnnpack", "builtin"], [1, 2], None, "interpreter")

    Raises:
        ValueError: A value that `Setting` refuses, or a list without one.
    """
    choices = {"kernels": kernels, "threads": threads, "batch": batch, "runtime": runtime}
    for name, value in choices.items():
        values = list(value) if isinstance(value, (list, tuple, range)) else [value]
        if not values:
            raise ValueError(f"`{name}` must not be an empty list")
        choices[name] = list(dict.fromkeys(values))
    return [Setting(*each) for each in product(*choices.values())]


def _check_count(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"`{name}` must be a whole number. Received: {name}={value!r}")
    if not 0 < value <= most:
        raise ValueError(f"`{name}` must be above 0 and at most {most}. Received: {name}={value}")
