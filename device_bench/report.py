"""The report of a benchmark: one HTML file that needs nothing else."""

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from converters.files import write_whole
from converters.one_line import one_line
from device_bench.history import comparable, read_history
from device_bench.profiling.profile import Profile
from device_bench.result import Result


def write_report(
    result: Result,
    path: str | os.PathLike,
    history: str | os.PathLike | None = None,
    baseline: Result | None = None,
    profiles: Mapping[str, Profile] | None = None,
) -> Path:
    """Write figures and plots of a benchmark as HTML.

    Example:
        >>> write_report(benchmark({"a": "a.tflite", "b": "b.tflite"}), "report.html")

    Args:
        result: Of the benchmark.
        path: Where the file goes.
        history: A file of `add_to_history`, to show how times went. Defaults to `None`.
        baseline: An earlier benchmark to show beside it. Defaults to `None`.
        profiles: Of models, by their names, to draw. Defaults to `None`.

    Raises:
        ImportError: The extra `report` is not installed.
        OSError: It cannot be written there.
        ValueError: The history is none.
    """
    _, plots = drawing_tools()
    measured = [m for m in result.measurements if m.measured]
    drawn = {}
    if measured:
        drawn["Time"] = plots.latency(result)
        drawn["Memory"] = plots.memory(result)
    if sum(m.accuracy is not None for m in measured) > 1:
        drawn["Accuracy against time"] = plots.accuracy_against(result, "latency")
        drawn["Accuracy against size"] = plots.accuracy_against(result, "size")
    for name, profile in (profiles or {}).items():
        drawn[f"Time by kernel: {name}"] = plots.per_op(profile)
    past = comparable(read_history(history)) if history else []
    if len(past) > 1:
        drawn["Over time"] = plots.over_time(past)
    text = render(
        _template("report.html.jinja"),
        result=result,
        before={m.name: m for m in baseline.measurements if m.measured} if baseline else {},
        plots=drawn,
    )
    return write_whole(path, text)


def render(page: str, **values: Any) -> str:
    """A page of HTML, from a template that may import what reports have in common as `"parts"`.

    Args:
        page: The template, in jinja2.
        **values: What it shows.

    Raises:
        ImportError: The extra `report` is not installed.
    """
    jinja2, _ = drawing_tools()
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        # Of what is escaped, not of drawings.
        finalize=lambda value: one_line(value) if type(value) is str else value,
        loader=jinja2.DictLoader({"parts": _template("report_parts.html.jinja")}),
    )
    return environment.from_string(page).render(**values)


def _template(name: str) -> str:
    return files("device_bench").joinpath(name).read_text(encoding="utf-8")


def drawing_tools() -> tuple:
    """jinja2 and our plots.

    Raises:
        ImportError: The extra `report` is not installed.
    """
    try:
        import jinja2

        from device_bench import plots
    except ImportError as error:
        raise ImportError(
            f"the report needs {error.name}: pip install 'edgekit-keras[report]'"
        ) from None
    return jinja2, plots
