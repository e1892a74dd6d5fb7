"""The text of the files that are written, with `$names` to fill in."""

from importlib.resources import files


def template(name: str) -> str:
    """The template of a file by its name."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
