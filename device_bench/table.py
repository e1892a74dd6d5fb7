"""A benchmark of the host as a table for the terminal."""

from converters.one_line import as_cell, one_line
from device_bench.figure_table import figure_table
from device_bench.measurement import Measurement
from device_bench.statistics import FEWEST_PAIRS

_COLUMNS = ("model", "bytes", "load", "first", "median", "95 %", "p90", "ratio", "MB")
_UNSURE = "?"
_MOST_ROWS = 3


def timing_table(result):
    """The figures as a `rich` table, with what calls for caution below it."""
    from rich.markup import escape

    scored = any(m.accuracy is not None for m in result.measurements)
    columns = [
        _HEADLINES.get(_headline(result), column) if column == "median" else column
        for column in _COLUMNS
    ]
    table = figure_table([*columns, *(["accuracy"] * scored)], escape(_caption(result)))
    for m in result.measurements:
        cells = _cells(result, m)
        if scored:
            cells.append("" if m.accuracy is None else f"{m.accuracy:.2%}")
        table.add_row(as_cell(m.name), f"{m.file_bytes:,}", *cells)
    return table


_HEADLINES = {"throughput": "samples/s"}


def _headline(result) -> str:
    return result.measurements[0].headline


def _cells(result, m: Measurement) -> list[str]:
    if not m.measured:
        return ["", "", "failed" if m.error else "not yet", "", "", "", ""]
    low, high = m.median_interval_ms
    middle = f"{m.throughput:,.1f}" if m.headline == "throughput" else f"{m.median_ms:.4f}"
    return [
        f"{m.load_ms + m.allocate_ms:.2f}",
        f"{m.first_ms:.3f}",
        middle,
        _spread(m, low, high),
        f"{m.p90_ms:.4f}",
        _ratio_cell(result, m),
        f"{m.peak_memory_bytes / 1e6:.1f}",
    ]


def _spread(m: Measurement, low: float, high: float) -> str:
    """Half of the interval; that of few processes is only where they were."""
    if len(m.processes) < 2:
        return ""
    few = len(m.processes) < FEWEST_PAIRS
    return f"±{(high - low) / 2 / m.median_ms:.1%}{_UNSURE if few else ''}"


def _ratio_cell(result, m: Measurement) -> str:
    first = result.measurements[0]
    if m is first or not first.measured:
        return ""
    verdict = result.verdict(m.name, first.name)
    if verdict == "no difference":
        return "≈ 1"
    unsure = verdict in ("too few processes", "unclear")
    return f"{result.ratio(m.name, first.name).value:.2f}{_UNSURE if unsure else ''}"


def _caption(result) -> str:
    s = result.settings
    floor = result.noise_floor
    about = (
        f"times in ms, memory in 10⁶ bytes; {s['device']}: {result.host['processor']}, mode "
        f"{s['mode']}: {s['processes']} fresh processes each, interleaved; time of invoke() alone, "
        f"inputs {s['inputs']}; ratio to the first model, ? where the runs do not settle it"
    )
    if any(m.measured and len(m.processes) < s["processes"] for m in result.measurements):
        about += " (interrupted: fewer processes)"
    if floor is not None:
        about += f", where the same again comes out within ±{floor:.1%}"
    about += ". Host time does not rank int8 against float for phones."
    lines = [about]
    for m in result.measurements:
        if m.error:
            lines.append(f"{one_line(m.name)} failed: {m.error}")
    return "\n".join(lines + _cautions(result))


def _cautions(result) -> list[str]:
    """What to know before believing it: by row, or together where it is the same for many."""
    by_kind: dict[str, list[str]] = {}
    for m in result.measurements:
        for text in result.flags(m.name):
            by_kind.setdefault(text.partition(":")[0], []).append(f"{one_line(m.name)}: {text}")
    lines = []
    for kind, rows in by_kind.items():
        many = len(rows) > _MOST_ROWS
        lines += [f"{len(rows)} rows: {kind}; each is in the JSON"] if many else rows
    return lines
