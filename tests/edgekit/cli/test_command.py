"""Bad input and signals, as every command answers them."""

import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from converters import FailedCheckError
from edgekit.cli import main
from edgekit.cli.command import _in_option_names
from edgekit.core.finite import check_finite_weights

NUMBERS = [
    pytest.param(name, option, id=f"{name} {option}")
    for name, command in main.commands.items()
    for param in command.params
    for option in param.opts[-1:]
    if hasattr(param.type, "min")
]


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "-1", "1e18"])
@pytest.mark.parametrize(("command", "option"), NUMBERS)
def test_absurd_numbers_are_refused(command, option, value):
    found = run(command, f"{option}={value}")
    assert found.exit_code == 2
    assert f"Invalid value for '{option}'" in found.stderr


@pytest.mark.parametrize("value", ["nan", "1,inf", "", "1;2"])
def test_absurd_lists_are_refused(value, tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"")
    found = run("package", tmp_path / "m.tflite", "--target", "mcu", "--mean", value)
    assert found.exit_code == 2
    assert "--mean must be a number, or several with commas" in found.stderr


def test_an_error_as_json():
    for arguments in (
        ["inspect", "none.tflite", "--json"],
        ["bench", "--json", "none.tflite"],
        ["distill", "--json"],
        ["convert", "--json", "none.keras", "--format", "int7"],
    ):
        found = run(*arguments)
        assert found.exit_code == 2
        said = json.loads(found.stdout)
        assert said["exit_code"] == 2
        assert f"Error: {said['error']}\n" == found.stderr


def test_bad_arguments_are_refused_before_tensorflow_loads(tmp_path):
    """In a process of its own: here it is loaded."""
    for name in ("m.tflite", "m.keras", "m.h5", "m.ekz", "x.npy"):
        (tmp_path / name).write_bytes(b"nothing")
    (tmp_path / "folder").mkdir()
    lines = """
        demo --seed nan
        demo --out m.keras
        convert none.keras
        convert m.keras --format int7
        convert folder
        convert m.keras
        convert m.h5
        convert m.tflite
        convert m.keras --calibration none.npy
        convert m.keras --format int8 --calibration-for a none.npy
        convert m.tflite --format int8 --calibration x.npy --keep-float a
        inspect folder
        inspect m.keras
        inspect m.tflite
        sensitivity m.keras
        sensitivity m.keras --calibration none
        mixed-precision m.keras --calibration x.npy
        mixed-precision m.keras --calibration x.npy --max-bytes 0
        mixed-precision m.keras --calibration x.npy --max-bytes 9 --max-drop 0.1
        mixed-precision m.keras --calibration x.npy --max-drop 0.1
        bench folder
        bench m.tflite
        bench m.tflite --profile --signature a
        bench m.keras --fail-if speed>1
        bench m.keras --device toaster
        bench m.keras --labels x.npy
        bench m.keras --kernels gpu
        bench m.keras --baseline x.npy
        bench m.keras --history x.npy
        package m.tflite --target mcu --out o --signature a
        package m.tflite --target pc --out o
        package m.tflite --target mcu --out o --mean 1
        package m.tflite --target mcu --out x.npy
        package m.tflite --target android --out o --name 1x
        pack m.tflite
        pack m.keras
        pack m.tflite --memory -1
        unpack m.ekz
        unpack folder
        migrate folder
        migrate m.keras
        migrate m.keras -o m.h5
        distill m.keras --data none.npz -o o.keras
        distill m.keras --data x.npy -o o.keras
        distill m.keras --data x.npy -o o.h5
        distill m.tflite --data x.npy -o o.keras
        distill m.tflite m.keras --data x.npy -o o.keras
        distill m.keras --width 1e9 --data x.npy -o o.keras
    """
    script = f"""
import sys
from click.testing import CliRunner
from edgekit.cli import main
for line in {lines!r}.strip().splitlines():
    found = CliRunner().invoke(main, line.split())
    assert found.exit_code == 2, (line, found.output)
    assert len(found.stderr.splitlines()) == 1, (line, found.stderr)
    for module in ("tensorflow", "keras"):
        assert module not in sys.modules, (line, module)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_whatever_a_file_causes_is_a_sentence(monkeypatch):
    import tensorflow as tf

    for error, said in (
        (MemoryError(), "more memory than there is"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "more memory than there is"),
        (RecursionError("maximum recursion depth"), "nested too deeply"),
        (KeyError("name"), "KeyError: 'name'; EDGEKIT_TRACEBACK=1 shows where it came from"),
    ):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr("converters.inspect", fail, raising=False)
        found = run("inspect", __file__)
        assert found.exit_code == 2
        assert said in found.stderr
        assert len(found.stderr.splitlines()) == 1


def test_a_file_that_fails_its_check_is_no_bad_input(monkeypatch):
    def fail(*_):
        raise FailedCheckError("int8: output 'y' is NaN")

    monkeypatch.setattr("converters.inspect", fail, raising=False)
    found = run("inspect", __file__)
    assert (found.exit_code, found.stderr) == (1, "Error: int8: output 'y' is NaN\n")


def test_messages_speak_of_options():
    said = "`rules` and `fail_if` beside `batch_size`. Received: labels=3, other=`x`"
    assert _in_option_names(said, main.commands["bench"]) == (
        "--fail-if and --fail-if beside `batch_size`. Received: --labels 3, other=`x`"
    )
    assert _in_option_names("`model` is none", main.commands["pack"]) == "MODEL is none"


def test_weights_that_training_lost():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="answer")])
    check_finite_weights(model, "training")
    model.layers[0].bias.assign([np.nan])
    with pytest.raises(FloatingPointError, match="after training .*answer/bias of model .* NaN"):
        check_finite_weights(model, "training")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_code(number, code):
    script = f"""
import os, signal, click
from edgekit.cli.command import EdgekitGroup
@click.group(cls=EdgekitGroup)
def main(): pass
@main.command()
def wait():
    try:
        os.kill(os.getpid(), {int(number)})
        signal.pause()
    finally:
        print("tidied up")
main(["wait"])
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert done.stdout == "tidied up\n"
    said = {130: "Error: interrupted", 143: "Error: terminated"}[code]
    assert done.stderr.strip() == said
