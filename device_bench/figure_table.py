"""A table of names and figures for the terminal."""

from collections.abc import Sequence


def figure_table(columns: Sequence[str], caption: str):
    """An empty `rich` table, the first column of names.

    Where it is wider than the terminal a name takes two lines, so that no figure loses its end.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        caption=caption,
        caption_justify="left",
    )
    name, *figures = columns
    table.add_column(name, overflow="fold")
    for figure in figures:
        table.add_column(figure, justify="right", no_wrap=True)
    return table
