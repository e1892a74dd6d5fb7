"""The plots of a benchmark, each as an SVG string."""

from collections.abc import Sequence

import numpy as np

from device_bench.drawing import COLORS, MARKERS, label, legend_above, name_points, new_axes, svg
from device_bench.names import shown_name
from device_bench.profiling.profile import Profile
from device_bench.result import Result

_MOST_OPS = 30


def latency(result: Result) -> str:
    """Median time of each row with its 95 % interval, and a dot for each process."""
    rows = [m for m in result.measurements if m.measured]
    figure, axes = new_axes(0.9 + 0.42 * len(rows))
    for number, m in enumerate(rows):
        low, high = m.median_interval_ms
        color = COLORS[number % len(COLORS)]
        axes.barh(number, m.median_ms, color=color, alpha=0.6)
        axes.plot([low, high], [number, number], color="black", linewidth=2)
        axes.plot(m.process_medians_ms, [number] * len(m.processes), ".", color="black", ms=3)
    axes.set_yticks(range(len(rows)), [label(m.name) for m in rows])
    axes.invert_yaxis()
    axes.set_xlabel("time of one run, ms\n(median, 95 % interval; a dot per process)")
    told = (
        f"{shown_name(m.name)} {m.median_ms:.4g} ms ({m.median_interval_ms[0]:.4g} to "
        f"{m.median_interval_ms[1]:.4g})"
        for m in rows
    )
    return svg(figure, f"Median time of one run with its 95 % interval: {'; '.join(told)}")


def accuracy_against(result: Result, what: str) -> str:
    """Each row as a point, and the line of those that no other beats in both.

    Args:
        result: With accuracies.
        what: `"latency"` or `"size"`, across.
    """
    rows = [m for m in result.measurements if m.measured and m.accuracy is not None]
    across, unit, words = {
        "latency": (lambda m: m.median_ms, "ms", "median time, ms (95 % interval)"),
        "size": (lambda m: m.file_bytes / 1000, "kB", "file, kB (10³ bytes)"),
    }[what]
    points = [(across(m), 100 * m.accuracy) for m in rows]
    figure, axes = new_axes(max(3.6, 0.9 + 0.22 * len(rows)))
    best = pareto(points)
    axes.plot(*zip(*[points[i] for i in best], strict=True), "--", color="gray", linewidth=1)
    for number, (m, (x, y)) in enumerate(zip(rows, points, strict=True)):
        style = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
        ends = [x - m.median_interval_ms[0]], [m.median_interval_ms[1] - x]
        axes.errorbar(x, y, xerr=ends if what == "latency" else None, ms=7, alpha=0.8, **style)
    axes.set_xlabel(words)
    axes.set_ylabel("accuracy, %")
    axes.set_xlim(left=0)
    name_points(axes, points, [m.name for m in rows])
    told = (
        f"{shown_name(m.name)} {y:.2f} % at {x:.4g} {unit}"
        for m, (x, y) in zip(rows, points, strict=True)
    )
    return svg(figure, f"Accuracy against {what}: {'; '.join(told)}")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points with which no other is both smaller across and higher up.

    Example:
        >>> pareto([(1, 90), (2, 95), (3, 94)])
        [0, 1]
    """
    found, highest = [], -np.inf
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[place][1] > highest:
            found.append(place)
            highest = points[place][1]
    return found


def memory(result: Result) -> str:
    """What each row takes: constants of its file, LiteRT's arena, and what else was allocated."""
    rows = [m for m in result.measurements if m.measured]
    figure, axes = new_axes(1.2 + 0.42 * len(rows))
    places = np.arange(len(rows))
    weights = np.array([m.weight_bytes for m in rows]) / 1e6
    arena = np.array([m.arena_bytes or 0 for m in rows]) / 1e6
    rest = np.maximum(0, np.array([m.growth_bytes or 0 for m in rows]) / 1e6 - arena)
    left = np.zeros(len(rows))
    parts = {"constants of the file": weights, "LiteRT's arena": arena, "other memory": rest}
    for number, (part, values) in enumerate(parts.items()):
        axes.barh(places, values, left=left, color=COLORS[number], label=part)
        left += values
    axes.set_yticks(places, [label(m.name) for m in rows])
    axes.invert_yaxis()
    axes.set_xlabel("memory the process took\nfor the model, MB (10⁶ bytes)")
    legend_above(figure, len(parts))
    told = (f"{shown_name(m.name)} {total:.3g} MB" for m, total in zip(rows, left, strict=True))
    return svg(figure, f"Memory the process took for the model: {'; '.join(told)}")


def per_op(profile: Profile) -> str:
    """Time of each kernel of a model, the longest ones, and what they leave of a run."""
    rows = sorted(profile.rows, key=lambda row: -row.microseconds)[:_MOST_OPS]
    rows.sort(key=profile.rows.index)
    kinds = {
        "in a delegate": [row.delegated for row in rows],
        "LiteRT's own": [not row.delegated and not row.float_island for row in rows],
        "floats between integers": [row.float_island for row in rows],
    }
    places = np.arange(len(rows))
    figure, axes = new_axes(0.9 + 0.26 * (len(rows) + 1))
    for number, (kind, chosen) in enumerate(kinds.items()):
        if any(chosen):
            times = [row.microseconds for row in rows]
            axes.barh(places[chosen], np.array(times)[chosen], color=COLORS[number], label=kind)
    axes.barh(len(rows), max(0.0, profile.residual_us), color="lightgray", label="residual")
    names = [label(f"{row.node}: {row.name}") for row in rows]
    axes.set_yticks([*places, len(rows)], [*names, "residual"], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"µs of a run of {profile.plain_us:.1f} µs ({profile.setting.kernels})")
    legend_above(figure, 4)
    longest = sorted(rows, key=lambda row: -row.microseconds)[:5]
    told = "; ".join(f"{row.name} {row.microseconds:.4g} µs" for row in longest)
    return svg(figure, f"Time of each kernel, of {profile.plain_us:.4g} µs in all; longest: {told}")


def over_time(history: Sequence[dict]) -> str:
    """Median time of each model in one benchmark after another, with its interval."""
    names = list(dict.fromkeys(row["name"] for entry in history for row in entry["measurements"]))
    figure, axes = new_axes(max(3.6, 0.9 + 0.22 * len(names)))
    last = {}
    for number, name in enumerate(names):
        found = [
            (place, row)
            for place, entry in enumerate(history)
            for row in entry["measurements"]
            if row["name"] == name and "median_ms" in row
        ]
        if not found:
            continue
        places = [place for place, _ in found]
        color = COLORS[number % len(COLORS)]
        marker = f"{MARKERS[number % len(MARKERS)]}-"
        axes.plot(places, [row["median_ms"] for _, row in found], marker, color=color)
        last[name] = places[-1], found[-1][1]["median_ms"]
        ends = zip(*(row["median_interval_ms"] for _, row in found), strict=True)
        axes.fill_between(places, *ends, color=color, alpha=0.2)
    axes.set_xticks(range(len(history)), [entry["time"][:10] for entry in history], rotation=45)
    axes.set_ylabel("median time, ms")
    axes.set_ylim(bottom=0)
    name_points(axes, list(last.values()), list(last))
    told = (f"{shown_name(name)} {median:.4g} ms" for name, (_, median) in last.items())
    return svg(figure, f"Median times over {len(history)} benchmarks, at last: {'; '.join(told)}")
