"""What is written is never what is read, whatever it is called; for every command."""

import json
import os

import click
import numpy as np
import pytest
from click.testing import CliRunner

from edgekit.cli import main
from edgekit.cli.numbers import RealNumbers, RealRange
from edgekit.cli.package import WRITTEN
from edgekit.cli.paths import ReadPath, TextType, UpdatePath, WriteFolder, WritePath

PARAMETERS = [
    pytest.param(command, param, id=f"{name} {param.name}")
    for name, command in main.commands.items()
    for param in command.params
]


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def kinds_of(param):
    """The types of what a parameter takes, of which there are several in a pair."""
    return param.type.types if isinstance(param.type, click.Tuple) else [param.type]


@pytest.mark.parametrize(("command", "param"), PARAMETERS)
def test_every_parameter_says_what_it_is(command, param):
    """A path is read, written or gone on with; a number is finite and bounded."""
    for kind in kinds_of(param):
        if isinstance(kind, click.IntRange):
            assert None not in (kind.min, kind.max)
        elif isinstance(kind, click.FloatRange):
            assert isinstance(kind, RealRange)
            assert None not in (kind.min, kind.max)
        else:
            known = (ReadPath, WritePath, WriteFolder, TextType, RealNumbers, click.Choice)
            assert isinstance(kind, (*known, click.types.BoolParamType))


def test_what_is_text_is_no_path():
    texts = {
        (name, param.name)
        for name, command in main.commands.items()
        for param in command.params
        if any(isinstance(kind, TextType) for kind in kinds_of(param))
    }
    assert texts == {
        ("bench", "device"),
        ("bench", "rules"),
        ("bench", "processor"),
        ("bench", "signature"),
        ("convert", "calibration_for"),
        ("convert", "keep_float"),
        ("inspect", "signature"),
        ("migrate", "allow"),
        ("package", "name"),
        ("package", "signature"),
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Files of every kind that is read; none holds what it should, as none is opened."""
    monkeypatch.chdir(tmp_path)
    names = ("a.tflite", "b.tflite", "m.keras", "old.h5", "x.npy", "y.npy", "d.npz", "m.ekz")
    for name in (*names, "base.json", "labels.txt", "phone.txt", "h.jsonl", "k.json"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"an image")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"a graph")
    os.symlink("a.tflite", tmp_path / "link.tflite")
    os.symlink("x.npy", tmp_path / "link.npy")
    os.link("a.tflite", tmp_path / "hard.tflite")
    os.symlink(tmp_path, tmp_path / "again")
    os.symlink("new.json", tmp_path / "dangling.json")
    return tmp_path


CLASHES = """
bench a.tflite -o a.tflite
bench a.tflite b.tflite --html b.tflite
bench a.tflite -o link.tflite
bench link.tflite -o a.tflite
bench a.tflite -o hard.tflite
bench a.tflite -o again/a.tflite
bench a.tflite -o images/../a.tflite
bench a.tflite --inputs x.npy -o x.npy
bench a.tflite --inputs images -o images/1.png
bench a.tflite --inputs x.npy --labels y.npy --html y.npy
bench a.tflite --baseline base.json -o base.json
bench a.tflite --history h.jsonl -o h.jsonl
bench a.tflite --history a.tflite
bench a.tflite --keep a.tflite
bench a.tflite --keep k.json --history k.json
bench a.tflite -o new.json --html new.json
bench a.tflite -o new.json --html ./new.json
bench a.tflite -o new.json --html NEW.json
bench a.tflite -o new.json --html again/new.json
bench a.tflite -o new.json --html dangling.json
bench a.tflite -o new.json --history new.json
bench saved -o saved/saved_model.pb
bench a.tflite --device adb --script . --threads 1
bench --import phone.txt -o phone.txt
mixed-precision m.keras --calibration x.npy --max-bytes 9 -o x.npy
mixed-precision m.keras --calibration x.npy --max-bytes 9 -o m.keras
mixed-precision m.keras --calibration link.npy --max-bytes 9 -o x.npy
mixed-precision m.keras --calibration x.npy --max-drop 0.1 --labels y.npy -o y.npy
mixed-precision m.keras --calibration images --max-bytes 9 -o images/1.png
package a.tflite --target android --out . --labels labels.txt
package a.tflite --target android --out again --labels labels.txt
package a.tflite --target android --out .
package b.tflite --target android --out . --name a --sample a.tflite
pack a.tflite -o a.tflite
pack a.tflite -o hard.tflite
pack a.tflite -o new.ekz --c new_ekz.c/..
unpack m.ekz -o m.ekz
migrate old.h5 -o m.keras/../old.h5
migrate m.keras -o m.keras
distill m.keras --data d.npz -o m.keras
distill a.tflite --student m.keras --data d.npz -o m.keras
""".strip().splitlines()


@pytest.mark.parametrize("line", CLASHES)
def test_nothing_that_is_read_is_written_over(here, line):
    def content():
        return {
            p: p.read_bytes() for p in here.rglob("*") if p.is_file() and "again" not in p.parts
        }

    before = content()
    found = run(*line.split())
    assert found.exit_code == 2, found.output
    assert len(found.stderr.splitlines()) == 1
    assert content() == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("bench a.tflite -o link.tflite", "--out link.tflite is a file to read (MODELS a.tflite)"),
        ("bench a.tflite -o n --html n", "--html and --out are the same file, n: name two"),
        (
            "package a.tflite --target android -o again --name b --labels labels.txt",
            "--out again is where --labels labels.txt is",
        ),
        ("bench a.tflite -o /dev/null", "/dev/null is a device or a pipe"),
        ("inspect images", "images is a folder: a .tflite file is expected"),
        ("bench images", "images is a folder without saved_model.pb"),
        ("pack m.keras", "m.keras is a Keras model, and a .tflite is expected"),
        ("unpack images", "images is a folder: name a file"),
        ("convert none.keras", "no such file: none.keras"),
        ("bench a.tflite --inputs none.npy", "--inputs: no such file: none.npy"),
        ("migrate m.keras", "m.keras exists: name the new file with --out"),
    ],
)
def test_messages_name_the_option_and_the_file(here, line, said):
    assert said in run(*line.split()).stderr


def test_new_names_and_what_is_gone_on_with_are_free(here):
    """Refused for what the files hold, not for where the results go."""
    for line in (
        "bench a.tflite -o new.json --html r.html --history h.jsonl",
        "package a.tflite --target android --out app --labels labels.txt",
        "pack a.tflite --c firmware",
    ):
        found = run(*line.split())
        assert found.exit_code == 2
        assert "not a LiteRT flatbuffer" in found.stderr or "is no history" in found.stderr
    assert not (here / "app").exists()  # nor is a folder left that was made for nothing


def test_package_writes_what_it_says(files, tmp_path):
    """The rule knows the names of its files."""
    model = files["int8"].save(tmp_path / "net.tflite")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    for target in ("android", "mcu"):
        out = tmp_path / "made" / target
        found = run(
            "package", model, "--target", target, "-o", out, "--labels", tmp_path / "labels.txt"
        )
        assert found.exit_code == 0, found.output
        for path in out.iterdir():
            assert path.name == "net.tflite" or any(path.match(name) for name in WRITTEN)


def test_convert_may_write_beside_its_model(folder, tmp_path):
    x = tmp_path / "model_int8.tflite"
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 3), "float32"))
    os.rename(tmp_path / "x.npy", x)
    model = tmp_path / "model.keras"
    model.write_bytes((folder / "model.keras").read_bytes())
    found = run("convert", model, "--format", "int8", "--calibration", x, "--json")
    assert found.exit_code == 2
    assert "which would be replaced" in json.loads(found.stdout)["error"]


def test_gone_on_with_are_the_history_and_what_is_kept():
    kinds = {p.name for p in main.commands["bench"].params if isinstance(p.type, UpdatePath)}
    assert kinds == {"keep", "history"}
