"""The report's plots, each as an SVG string."""

from device_bench.drawing import COLORS, MARKERS, name_points, new_axes, svg
from edgekit.pipeline.comparison import Comparison, Row


def accuracy_against_size(comparison: Comparison) -> str:
    """Each file as a point: bytes across, accuracy up with its 95 % interval."""
    rows = comparison.rows
    figure, axes = new_axes(3.6)
    for i, row in enumerate(rows):
        low, high = row.accuracy_interval
        axes.errorbar(
            row.flatbuffer.size / 1000,
            100 * row.accuracy,
            yerr=[[100 * (row.accuracy - low)], [100 * (high - row.accuracy)]],
            marker=MARKERS[i % len(MARKERS)],
            markersize=7,
            elinewidth=1,
            alpha=0.8,
            color=COLORS[i % len(COLORS)],
        )
    axes.set_xlabel("file, kB (10³ bytes)")
    axes.set_ylabel("accuracy in LiteRT, % (95 % interval)")
    axes.set_xlim(left=0)
    points = [(row.flatbuffer.size / 1000, 100 * row.accuracy) for row in rows]
    name_points(axes, points, [row.name for row in rows])
    told = (f"{row.name} {100 * row.accuracy:.2f} % in {row.flatbuffer.size:,} B" for row in rows)
    return svg(figure, f"Accuracy against size: {'; '.join(told)}")


def sparsity_by_layer(row: Row) -> str:
    """Share of zeros in each weight tensor of the file."""
    weights = row.inspection.weights
    figure, axes = new_axes(0.8 + 0.26 * len(weights))
    labels = [f"{i}: {'×'.join(map(str, w.shape))}" for i, w in enumerate(weights)]
    axes.barh(labels, [100 * w.sparsity for w in weights], color=COLORS[2])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("zeros, % of the weights of the tensor")
    told = (f"{name} {100 * w.sparsity:.0f} %" for name, w in zip(labels, weights, strict=True))
    return svg(figure, f"Zeros in each weight tensor: {'; '.join(told)}")
