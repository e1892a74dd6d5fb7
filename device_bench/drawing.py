"""A figure to draw on, what points are called on it, and its SVG."""

import io
import re
import warnings
from collections.abc import Sequence
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from device_bench.names import shown_name

COLORS = ["#64748b", "#0891b2", "#2563eb", "#7c3aed", "#db2777", "#ea580c", "#65a30d"]
MARKERS = "osD^vPX"
_LINE = 0.065


def new_axes(height: float):
    """`(figure, axes)` as wide as a page, and so many inches high."""
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def label(name: str) -> str:
    """A name as matplotlib is to draw it: no formula, one line, not too long."""
    return shown_name(name).replace("$", r"\$")


def name_points(axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write names beside the axes, each with a line to its point: points may lie on each other.

    Args:
        axes: With its limits set.
        points: In its units.
        names: As many.
    """
    low, high = axes.get_ylim()
    order = sorted(range(len(points)), key=lambda i: points[i][1])
    place, places = -_LINE, {}
    for i in order:
        place = places[i] = max((points[i][1] - low) / (high - low), place + _LINE)
    for above, i in enumerate(reversed(order)):  # down again where they went out at the top
        places[i] = min(places[i], 1 - _LINE * above)
    for i, (point, name) in enumerate(zip(points, names, strict=True)):
        axes.annotate(
            label(name),
            point,
            (1.04, places[i]),
            textcoords="axes fraction",
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "gray", "shrinkB": 4},
        )


def legend_above(figure: Figure, columns: int) -> None:
    """The legend outside the axes, where it hides nothing."""
    figure.legend(fontsize=8, loc="outside upper left", ncols=columns)


def svg(figure: Figure, told: str) -> str:
    """The figure's SVG element; the same plot is the same bytes.

    Args:
        figure: The figure.
        told: What it shows, for those who do not see it.
    """
    buffer = io.StringIO()
    # Element ids come from this, not from chance; text stays text, in the reader's fonts.
    with (
        matplotlib.rc_context({"svg.hashsalt": "edgekit", "svg.fonttype": "none"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    about = f'<svg role="img" aria-label="{escape(told)}"'
    return re.sub("^<svg", lambda _: about, text)
