import json

import pytest
from click.testing import CliRunner

from edgekit.cli import main


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_android(folder, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    out = tmp_path / "the app"
    found = run(
        "package", folder / "int8.tflite", "--target", "android", "--out", out,
        "--labels", tmp_path / "labels.txt", "--mean", "1,2,3", "--std", "4",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert {line.split()[-1].rsplit("/", 1)[-1] for line in found.stdout.splitlines()} == {
        path.name for path in out.iterdir()
    }
    contract = json.loads((out / "contract.json").read_text())
    assert contract["inputs"][0]["normalization"]["mean"] == [1, 2, 3]


def test_mcu_as_json(folder, tmp_path):
    found = run(
        "package", folder / "int8.tflite", "--target", "mcu", "--out", tmp_path,
        "--sample", folder / "x.npy", "--name", "net", "--json",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert str(tmp_path / "model_data.cc") in report["files"]
    assert report["contract"]["arena"]["recommended"] > 2000
    assert report["contract"]["golden"]["input"] == "a sample of the user"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--target", "mcu", "--mean", "1"], "--mean and --std belong together"),
        (["--target", "mcu", "--mean", "1;2", "--std", "1"], "--mean must be a number"),
        (["--target", "mcu", "--sample", "none.npy"], "no such file: none.npy"),
        (["--target", "android", "--labels", "none.txt"], "no such file: none.txt"),
        (["--target", "pc"], "'pc' is not one of"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(folder, tmp_path, options, sentence):
    out = tmp_path / "new"
    found = run("package", folder / "int8.tflite", "--out", out, *options)
    assert found.exit_code == 2
    assert sentence in found.stderr
    assert "Traceback" not in found.output
    assert not out.exists()


def test_a_file_that_microcontrollers_cannot_run(files, tmp_path):
    path = files["float16"].save(tmp_path / "half.tflite")
    found = run("package", path, "--target", "mcu", "--out", tmp_path / "new")
    assert found.exit_code == 2
    assert "float16 weights" in found.stderr


def test_a_damaged_file(folder, tmp_path):
    out = tmp_path / "new"
    found = run("package", folder / "corrupt.tflite", "--target", "mcu", "--out", out)
    assert found.exit_code == 2
    assert "corrupt.tflite: damaged LiteRT flatbuffer" in found.stderr
