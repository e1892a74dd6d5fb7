"""Rules that a benchmark must not break, for continuous integration."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from device_bench.measurement import Measurement
from device_bench.result import Result
from device_bench.statistics import FEWEST_PAIRS, ratio_between

# Figure, unit of it, and what one of each written unit is of that.
_TIME = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "KiB": 2**10, "MiB": 2**20}
_SHARE = {"%": 0.01, "": 1.0}
METRICS = {
    "latency": ("median_ms", _TIME),
    "p90": ("p90_ms", _TIME),
    "first": ("first_ms", _TIME),
    "load": ("load_ms", _TIME),
    "size": ("file_bytes", _BYTES),
    "arena": ("arena_bytes", _BYTES),
    "memory": ("peak_memory_bytes", _BYTES),
    "accuracy": ("accuracy", _SHARE),
    "throughput": ("throughput", {"/s": 1.0, "": 1.0}),
}
_ROUNDING = 1e-9
_RULE = re.compile(r"(\w+)\s*([<>])\s*([+-]?)\s*(\d+(?:\.\d+)?)\s*(%|/s|[A-Za-zµ]*)")


@dataclass(frozen=True)
class Rule:
    """What a figure must not be.

    Args:
        text: As it was written.
        metric: Out of `METRICS`.
        above: Whether it is broken above the limit, or below it.
        limit: In the figure's unit; of a relative rule a share of the baseline's figure, and of
            accuracy a difference to it.
        relative: Whether it speaks of a change against the baseline.
    """

    text: str
    metric: str
    above: bool
    limit: float
    relative: bool


def parse_rules(texts: Sequence[str], with_baseline: bool) -> list[Rule]:
    """Rules as they are written on a command line.

    Example:
        >>> parse_rules(["latency>+5%", "size>200kB", "accuracy<-0.5%"], with_baseline=True)

    Args:
        texts: `METRIC>LIMIT` or `METRIC<LIMIT`. A limit with a sign and `%` is a change against the
            baseline, of accuracy in points; one without a sign is the figure itself.
        with_baseline: Whether there is a baseline.

    Raises:
        ValueError: A text that is none, or a change without a baseline.
    """
    return [_parsed(text, with_baseline) for text in texts]


def _parsed(text: str, with_baseline: bool) -> Rule:
    match = _RULE.fullmatch(text.strip())
    if match is None or match[1] not in METRICS:
        raise ValueError(
            f"--fail-if {text!r} is no rule: write 'latency>+5%' or 'size>200kB', with one of "
            f"{', '.join(METRICS)}"
        )
    name, order, sign, number, unit = match.groups()
    if sign:
        if unit != "%":
            raise ValueError(f"--fail-if {text!r}: a change is in %, as in '{name}{order}{sign}5%'")
        if not with_baseline:
            raise ValueError(f"--fail-if {text!r} is a change: name the --baseline it is against")
        return Rule(text, name, order == ">", float(f"{sign}{number}") / 100, relative=True)
    units = METRICS[name][1]
    if unit not in units:
        known = ", ".join(repr(u) for u in units)
        raise ValueError(f"--fail-if {text!r}: {name} is in {known}. Received: {unit!r}")
    return Rule(text, name, order == ">", float(number) * units[unit], relative=False)


def broken_rules(result: Result, rules: Sequence[Rule], baseline: Result | None) -> list[str]:
    """What is broken, a sentence each.

    A latency is only called slower, or faster, than the baseline's where the interval of their
    ratio leaves out 1: what noise can be is no failure. What cannot be compared is one.

    Args:
        result: What was measured.
        rules: Of `parse_rules`.
        baseline: What relative rules compare with; a row is known by its model and setting.
    """
    if rules and result.settings["interrupted"]:
        return ["the benchmark was interrupted: its rules were not checked"]
    found = []
    for rule in rules:
        for measurement in result.measurements:
            if not measurement.measured:
                continue  # which fails anyway
            if rule.relative:
                old = _same(baseline, measurement)
                said = "is not in the baseline" if old is None else _changed(rule, measurement, old)
            else:
                said = _beyond(rule, measurement)
            if said:
                found.append(f"{rule.text}: {measurement.name} {said}")
    return found


def other_circumstances(result: Result, baseline: Result) -> list[str]:
    """What was different when the baseline was measured, in words; empty where nothing was."""
    pairs = [
        (name, of.get(name), before.get(name))
        for of, before, names in (
            (result.host, baseline.host, ("processor", "machine", "cores", "ai-edge-litert")),
            (result.settings, baseline.settings, ("mode", "inputs", "seconds")),
        )
        for name in names
    ]
    return [f"{name} was {before}, is {now}" for name, now, before in pairs if now != before]


def _beyond(rule: Rule, measurement: Measurement) -> str | None:
    value = getattr(measurement, METRICS[rule.metric][0])
    if value is None:
        return f"has no {rule.metric}"
    broken = value > rule.limit if rule.above else value < rule.limit
    return f"has {rule.metric} {_written(rule.metric, value)}" if broken else None


def _changed(rule: Rule, measurement: Measurement, old: Measurement) -> str | None:
    figure = METRICS[rule.metric][0]
    value, before = getattr(measurement, figure), getattr(old, figure)
    if None in (value, before):
        return f"has no {rule.metric}{' in the baseline' if before is None else ''}"
    change = value - before if rule.metric == "accuracy" else value / before - 1
    over = change - rule.limit if rule.above else rule.limit - change
    if over <= _ROUNDING:
        return None
    words = f"went from {_written(rule.metric, before)} to {_written(rule.metric, value)}"
    if rule.metric != "latency":
        return words if rule.metric == "accuracy" else f"{words}, {change:+.1%}"
    counts = len(measurement.processes), len(old.processes)
    if min(counts) < FEWEST_PAIRS:
        return f"{words}, of {counts[0]} and {counts[1]} processes: {FEWEST_PAIRS} tell more"
    ratio = ratio_between(measurement.process_medians_ms, old.process_medians_ms)
    if ratio.low <= 1 <= ratio.high:
        return None
    return f"{words}, {ratio.value:.3f} times ({ratio.low:.3f}–{ratio.high:.3f})"


def _same(baseline: Result, measurement: Measurement) -> Measurement | None:
    about = measurement.model, measurement.setting
    rows = (m for m in baseline.measurements if m.measured and (m.model, m.setting) == about)
    return next(rows, None)


def _written(metric: str, value: float) -> str:
    units = METRICS[metric][1]
    if units is _TIME:
        return f"{value:.4g} ms"
    if units is _BYTES:
        return f"{value:,.0f} B"
    return f"{value:.2%}" if metric == "accuracy" else f"{value:,.1f}/s"
