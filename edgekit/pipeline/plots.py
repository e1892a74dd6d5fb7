"""The report's plots, each as an SVG string."""

from device_bench.drawing import COLORS, new_axes, svg
from edgekit.pipeline.comparison import Comparison, Row


def accuracy_against_size(comparison: Comparison) -> str:
    """Each file as a point: bytes across, accuracy up with its 95 % interval."""
    figure, axes = new_axes(3.6)
    for i, row in enumerate(comparison.rows):
        low, high = row.accuracy_interval
        axes.errorbar(
            row.flatbuffer.size / 1000,
            100 * row.accuracy,
            yerr=[[100 * (row.accuracy - low)], [100 * (high - row.accuracy)]],
            fmt="o",
            markersize=8,
            elinewidth=1,
            color=COLORS[i % len(COLORS)],
            label=row.name,
        )
    axes.set_xlabel("file, kB (10³ bytes)")
    axes.set_ylabel("accuracy in LiteRT, % (95 % interval)")
    axes.set_xlim(left=0)
    axes.legend(fontsize=8)
    return svg(figure)


def latency(comparison: Comparison) -> str:
    """Median time of a run with its 95 % interval, a bar per file."""
    figure, axes = new_axes(0.8 + 0.42 * len(comparison.rows))
    measured = [m for m in comparison.benchmark.measurements if not m.error]
    for i, m in enumerate(measured):
        low, high = m.median_interval_ms
        axes.barh(
            m.name,
            m.median_ms,
            xerr=[[m.median_ms - low], [high - m.median_ms]],
            color=COLORS[i % len(COLORS)],
            capsize=4,
        )
    axes.invert_yaxis()
    axes.set_xlabel("time of one run on this host, ms (median, 95 % interval)")
    return svg(figure)


def sparsity_by_layer(row: Row) -> str:
    """Share of zeros in each weight tensor of the file."""
    weights = row.inspection.weights
    figure, axes = new_axes(0.8 + 0.26 * len(weights))
    labels = [f"{i}: {'×'.join(map(str, w.shape))}" for i, w in enumerate(weights)]
    axes.barh(labels, [100 * w.sparsity for w in weights], color=COLORS[2])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("zeros, % of the weights of the tensor")
    return svg(figure)
