import pytest
from rich.console import Console

from converters import inspect
from converters.one_line import as_cell, one_line
from tests.converters.packaging.handmade import Tensor, flatbuffer

ESCAPES = "\x1b[31mred"


def shown(table) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\nlines\t", "two lines"),
        (ESCAPES, "\\x1b[31mred"),
        ("turned \u202e round", "turned \\u202e round"),
        ("日本 é [bold] [/x] \\", "日本 é [bold] [/x] \\"),
    ],
)
def test_what_a_file_says_is_shown_as_it_is(text, line):
    assert one_line(text) == line
    assert shown(as_cell(f"{text}|")).rstrip("\n") == one_line(f"{text}|")


def test_names_of_a_file_do_nothing_in_its_tables():
    names = [f"in [/b] {ESCAPES}", "out [red]x"]
    tensors = [Tensor(name, (1, 2)) for name in names]
    found = inspect(flatbuffer(tensors, [("A\n[/i]\x07", [0], [1], None)], [0], [1]))
    text = "".join(map(shown, found.tables())) + found.summary()
    assert all(one_line(name) in text for name in (*names, "A\n[/i]\x07"))
    assert "\x1b" not in text
    assert "\x07" not in text
