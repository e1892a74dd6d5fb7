"""Text from a file of somebody else, as it is shown: what controls a terminal is escaped."""


def one_line(text: str) -> str:
    """Text without line breaks, whose control and direction characters are escaped."""
    plain = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in plain)


def as_cell(text: str) -> str:
    """Text in a cell of a `rich` table, where brackets would be taken for markup."""
    from rich.markup import escape

    return escape(one_line(text))
