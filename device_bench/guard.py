"""Rules that a benchmark must not break, for continuous integration."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from device_bench.measurement import Measurement
from device_bench.result import Result
from device_bench.statistics import FEWEST_PAIRS, Ratio, ratio_between

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
_RULE = re.compile(
    r"(\w+)\s*([<>])\s*([+-]?)\s*(\d+(?:\.\d+)?)\s*(%|/s|[A-Za-zµ]*)(?:\s+(first|baseline))?"
)
_POINTS, _TIMES = "pt", "x"
FIRST, BASELINE = "first", "baseline"


@dataclass(frozen=True)
class Rule:
    """What a figure must not be.

    Args:
        text: As it was written.
        metric: Out of `METRICS`.
        above: Whether it is broken above the limit, or below it.
        limit: In the figure's unit; of a change a share of the figure it is against, and of
            accuracy a difference to it.
        against: What it is a change of: `"first"`, the first model of the same benchmark in the
            same setting; `"baseline"`; or `None`, where the limit is the figure itself.
    """

    text: str
    metric: str
    above: bool
    limit: float
    against: str | None


def parse_rules(texts: Sequence[str], with_baseline: bool) -> list[Rule]:
    """Rules as they are written on a command line.

    Example:
        >>> parse_rules(["latency>+5%", "size>200kB", "accuracy<-0.5pt"], with_baseline=True)
        >>> parse_rules(["latency>1.1x", "accuracy<-0.5pt first"], with_baseline=False)

    Args:
        texts: `METRIC>LIMIT` or `METRIC<LIMIT`. A limit without a sign is the figure itself; one
            with a sign is a change in `%`, of accuracy in points (`pt`), against the baseline, or
            against the first model of the same benchmark where `first` follows; `1.1x` is so many
            times the figure of the first model, or of the baseline where `baseline` follows.
        with_baseline: Whether there is a baseline.

    Raises:
        ValueError: A text that is none, or a change against a baseline without one.
    """
    return [_parsed(text, with_baseline) for text in texts]


def _parsed(text: str, with_baseline: bool) -> Rule:
    match = _RULE.fullmatch(text.strip())
    if match is None or match[1] not in METRICS:
        raise ValueError(
            f"--fail-if {text!r} is no rule: write 'size>200kB', 'latency>1.1x' (of the first "
            f"model) or 'latency>+5%' (against the baseline), with one of {', '.join(METRICS)}"
        )
    name, order, sign, number, unit, against = match.groups()
    if unit == _TIMES and not sign:
        if name == "accuracy":
            raise ValueError(
                f"--fail-if {text!r}: accuracy changes in points, as in 'accuracy<-0.5pt first'"
            )
        return _change(text, name, order, float(number) - 1, against or FIRST, with_baseline)
    if sign:
        units = ("%", _POINTS) if name == "accuracy" else ("%",)
        if unit not in units:
            said = " or points (pt)" if name == "accuracy" else ""
            raise ValueError(
                f"--fail-if {text!r}: a change is in %{said}, as in '{name}{order}{sign}5%'"
            )
        limit = float(f"{sign}{number}") / 100
        return _change(text, name, order, limit, against or BASELINE, with_baseline)
    if against:
        raise ValueError(
            f"--fail-if {text!r}: against the {against} there are changes, as in "
            f"'{name}{order}+5% {against}' or '{name}{order}1.05x {against}'"
        )
    units = METRICS[name][1]
    if unit not in units:
        known = ", ".join(repr(u) for u in units)
        raise ValueError(f"--fail-if {text!r}: {name} is in {known}. Received: {unit!r}")
    return Rule(text, name, order == ">", float(number) * units[unit], None)


def _change(text, name, order, limit, against, with_baseline) -> Rule:
    if against == BASELINE and not with_baseline:
        raise ValueError(
            f"--fail-if {text!r} is a change: name the --baseline it is against, or write "
            f"'{text} {FIRST}' for the first model"
        )
    return Rule(text, name, order == ">", limit, against)


def broken_rules(result: Result, rules: Sequence[Rule], baseline: Result | None) -> list[str]:
    """What is broken, a sentence each.

    A latency is only called slower, or faster, than the baseline's where the interval of their
    ratio leaves out 1: what noise can be is no failure. What cannot be compared is one. Against
    the first model it must also lie beyond what the first model differs from itself.

    Args:
        result: What was measured.
        rules: Of `parse_rules`.
        baseline: What changes are against, where they name nothing else; a row is known by its
            model and setting.
    """
    if rules and result.settings["interrupted"]:
        return ["the benchmark was interrupted: its rules were not checked"]
    found = []
    for rule in rules:
        for measurement in result.measurements:
            if not measurement.measured:
                continue  # which fails anyway
            if rule.against == BASELINE:
                old = _same(baseline, measurement)
                said = "is not in the baseline" if old is None else _changed(rule, measurement, old)
            elif rule.against == FIRST:
                said = _against_first(rule, measurement, result)
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


def _against_first(rule: Rule, measurement: Measurement, result: Result) -> str | None:
    """Whether it breaks a rule against the first model, in the same setting."""
    model = result.measurements[0].model
    if measurement.model == model:
        return None
    about = model, measurement.setting
    first = next(m for m in result.measurements if (m.model, m.setting) == about)
    if not first.measured:
        return f"cannot be compared: {first.name} was not measured"
    words = _difference(rule, measurement, first, "the first model")
    if words is None or rule.metric != "latency":
        return words
    ratio = result.ratio(measurement.name, first.name)
    return _unless_noise(words, ratio, result.noise_floor or 0.0)


def _changed(rule: Rule, measurement: Measurement, old: Measurement) -> str | None:
    words = _difference(rule, measurement, old, "the baseline")
    if words is None or rule.metric != "latency":
        return words
    counts = len(measurement.processes), len(old.processes)
    if min(counts) < FEWEST_PAIRS:
        return f"{words}, of {counts[0]} and {counts[1]} processes: {FEWEST_PAIRS} tell more"
    ratio = ratio_between(measurement.process_medians_ms, old.process_medians_ms)
    return _unless_noise(words, ratio, 0.0)


def _difference(rule: Rule, one: Measurement, other: Measurement, what: str) -> str | None:
    """How far the figure is from the other's, where that breaks the rule."""
    figure = METRICS[rule.metric][0]
    value, before = getattr(one, figure), getattr(other, figure)
    if None in (value, before):
        missing = f" in {what}" if before is None else ""
        return f"has no {rule.metric}{missing}"
    if rule.metric == "accuracy":
        change, said = value - before, f"{100 * (value - before):+.2f} points"
    elif before == 0:
        change = 0.0 if value == 0 else float("inf")
        said = "from none"
    else:
        change = value / before - 1
        said = f"{change:+.1%}"
    over = change - rule.limit if rule.above else rule.limit - change
    if over <= _ROUNDING:
        return None
    if rule.metric == "latency":
        said = ""  # the ratio of pairs tells more
    written = _written(rule.metric, value), _written(rule.metric, before)
    if what == "the baseline":
        return f"went from {written[1]} to {written[0]}{said and ', ' + said}"
    return f"has {rule.metric} {written[0]}, {what} has {written[1]}{said and ', ' + said}"


def _unless_noise(words: str, ratio: Ratio, floor: float) -> str | None:
    """What is said of a latency, unless it may be the same."""
    if ratio.pairs < FEWEST_PAIRS:
        return f"{words}, of {ratio.pairs} processes: {FEWEST_PAIRS} tell more"
    if ratio.low <= 1 + floor and ratio.high >= 1 / (1 + floor):
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
