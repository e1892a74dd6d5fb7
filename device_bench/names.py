"""Names of users' models where there is little room."""

from converters.one_line import one_line

_LONGEST = 32


def shown_name(name: str, longest: int = _LONGEST) -> str:
    r"""A name in one line, its middle left out where it is long.

    Example:
        >>> shown_name("two\nlines")
        'two lines'

    Args:
        name: The name.
        longest: Letters that it may have. Defaults to `32`.
    """
    line = one_line(name)
    if len(line) <= longest:
        return line
    end = longest // 2
    return f"{line[: longest - end - 1]}…{line[-end:]}"
