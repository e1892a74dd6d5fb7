"""What LiteRT's `benchmark_model` prints, read again."""

import re
from dataclasses import dataclass, field

_NUMBER = r"(-?nan|inf|[\d.]+(?:e[+-]?\d+)?)"
# Where a program of its own starts; and where our script says which model it is about to run.
_START = re.compile(r"STARTING!")
# Which older ones and apps do not say; all of them name their settings.
_SETTINGS = re.compile(r"Log parameter values verbosely")
_MARK = re.compile(r"^EDGEKIT (\S+) round (\d+)")
_GRAPH = re.compile(r"Graph: \[(.+?)\]")
_THREADS = re.compile(r"Num threads: \[(\d+)\]")
_STATISTICS = re.compile(r"\bcount=(\d+) .*?curr=.*")
_FIELD = re.compile(rf"\b(first|curr|min|max|avg|std|p5|median|p95)={_NUMBER}")
_TIMES = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_MEMORY = re.compile(
    rf"(?:Memory footprint delta|Peak memory footprint).*?init={_NUMBER} overall={_NUMBER}"
)
_DELEGATED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\)")
_PROFILE = "Operator-wise Profiling Info"
_ROW = re.compile(
    rf"^\s*(\S.*?)\s+(?:{_NUMBER}\s+)?{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}%\s+{_NUMBER}%\s+{_NUMBER}"
    r"\s+(\d+)\s+(\S.*)$"
)


@dataclass(frozen=True)
class Op:
    """A row of the profile.

    Attributes:
        kind: Type of the node, or name of the delegate's kernel.
        name: Of the node.
        mean_ms: Time of a run.
        delegated: Whether it ran inside a delegate.
    """

    kind: str
    name: str
    mean_ms: float
    delegated: bool


@dataclass(frozen=True)
class Run:
    """One process of `benchmark_model`. Times in microseconds, memory in bytes.

    Attributes:
        graph: Path of the model on the device.
        name: As our script calls it; else the file's name without its ending.
        threads: As asked for, or None.
        init: Loading and preparing.
        first: First inference.
        warmup: Mean of the warm-up.
        mean: Mean of the inferences.
        runs: How many inferences.
        statistics: Of these what else was printed: `min`, `max`, `std`, and newer tools `p5`,
            `median` and `p95`.
        memory: What the process grew by; None where it is not known.
        delegated: `(nodes in a delegate, nodes)` or None.
        delegate: Name of the delegate, or None.
        ops: The profile, where it was asked for.
        round: Number of the round it belongs to; None where that is not known.
    """

    graph: str
    name: str
    threads: int | None
    init: float
    first: float
    warmup: float
    mean: float
    runs: int
    statistics: dict[str, float] = field(default_factory=dict)
    memory: int | None = None
    delegated: tuple[int, int] | None = None
    delegate: str | None = None
    ops: tuple[Op, ...] = ()
    round: int | None = None

    @property
    def middle(self) -> float:
        """The median where the tool prints it, else the mean."""
        return self.statistics.get("median", self.mean)


def parse_output(text: str) -> list[Run]:
    """All runs in what one or several processes printed, in a terminal or in `adb logcat`.

    Example:
        >>> (run,) = parse_output(Path("benchmark.txt").read_text())
        >>> run.middle, run.statistics

    Args:
        text: The output, with or without what our script writes between.

    Raises:
        ValueError: There is no finished run in it.

    Source: tflite/tools/benchmark in the LiteRT repository.
    """
    found = [run for part in _parts(text) if (run := _run(part)) is not None]
    if not found:
        raise ValueError(
            "there is no finished run of benchmark_model: its line 'Inference timings in us' is "
            "missing"
        )
    return found


def unfinished(text: str) -> list[str]:
    """Names of models that our script started and that did not come to an end."""
    parts = [part for part in _parts(text) if part and _MARK.match(part[0])]
    return [_MARK.match(part[0])[1] for part in parts if _run(part) is None]


def _parts(text: str) -> list[list[str]]:
    """Lines of each process."""
    parts: list[list[str]] = [[]]
    seen: set[str] = set()
    for line in text.splitlines():
        line = line.rstrip("\r")
        marks = {
            "start": _START.search(line),
            "settings": _SETTINGS.search(line),
            "times": _TIMES.search(line),
        }
        found = {name for name, match in marks.items() if match}
        again = found & seen & {"start", "settings"} or ("times" in seen and found - {"times"})
        if _MARK.match(line) or again:
            parts.append([])
            seen = set()
        seen |= found
        parts[-1].append(line)
    return parts


def _run(lines: list[str]) -> Run | None:
    text = "\n".join(lines)
    finished = list(_TIMES.finditer(text))
    if not finished:
        return None
    times = finished[-1]  # a log may hold earlier ones
    before = text[: times.end()]
    counts = list(_STATISTICS.finditer(before))
    init, first, warmup, mean = (float(value) for value in times.groups())
    statistics, runs = {}, 0
    if counts:
        line = counts[-1][0]
        runs = int(counts[-1][1])
        statistics = {name: float(value) for name, value in _FIELD.findall(line)}
        for name in ("curr", "avg", "first"):
            statistics.pop(name, None)
    graph, threads = _GRAPH.search(text), _THREADS.search(text)
    memory, delegated = _MEMORY.search(text), _DELEGATED.search(text)
    mark = _MARK.match(lines[0]) if lines else None
    path = graph[1] if graph else ""
    name = mark[1] if mark else path.rpartition("/")[2].removesuffix(".tflite")
    return Run(
        graph=path,
        name=name or "model",
        threads=int(threads[1]) if threads else None,
        init=init,
        first=first,
        warmup=warmup,
        mean=mean,
        runs=runs,
        statistics=statistics,
        memory=round(float(memory[2]) * 2**20) if memory else None,
        delegated=(int(delegated[1]), int(delegated[2])) if delegated else None,
        delegate=delegated[3] if delegated else None,
        ops=_ops(lines),
        round=int(mark[2]) if mark else None,
    )


def _ops(lines: list[str]) -> tuple[Op, ...]:
    """Rows of the run order in the profile of the regular runs."""
    start = next((i for i, line in enumerate(lines) if _PROFILE in line), None)
    if start is None:
        return ()
    found, inside = [], False
    for line in lines[start:]:
        if "= Run Order =" in line:
            inside = True
        elif inside and "= Top by" in line:
            break
        elif inside and (row := _ROW.match(line.replace("\t", "  "))):
            kind, name = row[1].strip(), row[9].strip()
            delegated = name.startswith("Delegate/")
            found.append(Op(kind, name.removeprefix("Delegate/"), float(row[4]), delegated))
    return tuple(found)
