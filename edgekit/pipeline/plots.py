"""The report's plots, each as an SVG string."""

import io

import matplotlib
from matplotlib.figure import Figure

from edgekit.pipeline.comparison import Comparison, Row

# The same plot is the same bytes: element ids come from this, not from chance.
matplotlib.rcParams["svg.hashsalt"] = "edgekit"
_COLORS = ["#64748b", "#0891b2", "#2563eb", "#7c3aed", "#db2777", "#ea580c", "#65a30d"]


def accuracy_against_size(comparison: Comparison) -> str:
    """Each file as a point: bytes across, accuracy up with its 95 % interval."""
    figure, axes = _axes(6.4, 3.6)
    for i, row in enumerate(comparison.rows):
        low, high = row.accuracy_interval
        axes.errorbar(
            row.flatbuffer.size / 1000,
            100 * row.accuracy,
            yerr=[[100 * (row.accuracy - low)], [100 * (high - row.accuracy)]],
            fmt="o",
            markersize=8,
            elinewidth=1,
            color=_COLORS[i % len(_COLORS)],
            label=row.name,
        )
    axes.set_xlabel("file, kB (10³ bytes)")
    axes.set_ylabel("accuracy in LiteRT, % (95 % interval)")
    axes.set_xlim(left=0)
    axes.legend(fontsize=8)
    return _svg(figure)


def latency(comparison: Comparison) -> str:
    """Median time of a run with its 95 % interval, a bar per file."""
    figure, axes = _axes(6.4, 0.8 + 0.42 * len(comparison.rows))
    measured = [m for m in comparison.benchmark.measurements if not m.error]
    for i, m in enumerate(measured):
        low, high = m.median_interval_ms
        axes.barh(
            m.name,
            m.median_ms,
            xerr=[[m.median_ms - low], [high - m.median_ms]],
            color=_COLORS[i % len(_COLORS)],
            capsize=4,
        )
    axes.invert_yaxis()
    axes.set_xlabel("time of one run on this host, ms (median, 95 % interval)")
    return _svg(figure)


def sparsity_by_layer(row: Row) -> str:
    """Share of zeros in each weight tensor of the file."""
    weights = row.inspection.weights
    figure, axes = _axes(6.4, 0.8 + 0.26 * len(weights))
    labels = [f"{i}: {'×'.join(map(str, w.shape))}" for i, w in enumerate(weights)]
    axes.barh(labels, [100 * w.sparsity for w in weights], color=_COLORS[2])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("zeros, % of the weights of the tensor")
    return _svg(figure)


def _axes(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
