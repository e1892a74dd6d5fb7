"""Figures that are drawn without a screen; matplotlib loads when one is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.files import write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """An empty figure of this many inches, and its axes.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "plots need matplotlib: pip install 'edgekit-keras[report]', or pip install matplotlib"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure: "Figure", path: str | Path | None) -> "Figure":
    """The figure, saved to `path` if one is given, whole or not at all."""
    if path is not None:
        kind = Path(path).suffix[1:] or "png"
        write_beside(path, lambda partial: figure.savefig(partial, format=kind))
    return figure
