"""A figure to draw on, and its SVG."""

import io

import matplotlib
from matplotlib.figure import Figure

COLORS = ["#64748b", "#0891b2", "#2563eb", "#7c3aed", "#db2777", "#ea580c", "#65a30d"]


def new_axes(height: float):
    """`(figure, axes)` as wide as a page, and so many inches high."""
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def svg(figure: Figure) -> str:
    """The figure's SVG element; the same plot is the same bytes."""
    buffer = io.StringIO()
    # Element ids come from this, not from chance.
    with matplotlib.rc_context({"svg.hashsalt": "edgekit"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
