"""`edgekit migrate`, as it is called."""

import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from edgekit.cli import main

tk = pytest.importorskip("tf_keras")


def run(*arguments):
    return CliRunner().invoke(main, ["migrate", *map(str, arguments)])


@pytest.fixture
def old(tmp_path):
    model = tk.Sequential([tk.layers.Input((4,)), tk.layers.Dense(2)], name="old")
    model.save(tmp_path / "old.h5")
    return tmp_path / "old.h5"


def test_the_new_file_stands_beside_the_old_one(old):
    done = run(old)
    assert done.exit_code == 0, done.output
    assert "old: 10 parameters" in done.output
    assert "outputs differ by at most" in done.output
    new = keras.saving.load_model(old.with_suffix(".keras"))
    theirs = tk.models.load_model(old, compile=False)
    for ours, weight in zip(new.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, weight)


def test_json_has_what_a_machine_needs(old, tmp_path):
    found = json.loads(run(old, "-o", tmp_path / "new.keras", "--json").output)
    assert found["file"] == str(tmp_path / "new.keras")
    assert found["difference"]["relative"] < 1e-6
    assert (found["name"], found["parameters"]) == ("old", 10)


def test_bad_input_is_said_in_one_line(old, tmp_path):
    for arguments, message in {
        ("none.h5",): "no such file: none.h5",
        (old, "-o", tmp_path / "new.h5"): "must end in .keras",
        (old, "-o", old / "new.keras"): "is a file: name a folder",
        (old, "--allow", "old"): "no such layer",
    }.items():
        done = run(*arguments)
        assert done.exit_code == 2
        assert message in done.output.replace("\n", " ")
    assert not list(tmp_path.glob("*.keras"))
    (tmp_path / "same.keras").write_bytes(old.read_bytes())
    same = tmp_path / "same.keras"
    assert "name another" in run(same, "-o", same).output
    assert "exists: name the new file with --out" in run(same).output  # it may be another model
