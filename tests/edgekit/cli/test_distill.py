import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import edgekit as ek
from edgekit.cli.main import main
from tests.conftest import make_cnn, make_data


def run(*arguments):
    return CliRunner().invoke(main, ["distill", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    x, y = make_data(512)
    np.savez(folder / "data.npz", x=x, y=y)
    np.savez(folder / "other.npz", images=x, labels=y)
    np.savez(folder / "uneven.npz", x=x, y=y[:3])
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        model = make_cnn()
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=6, verbose=0)
        model.save(folder / f"teacher_{seed}.keras")
    ek.convert(model, ["int8"], calibration=x)["int8"].save(folder / "teacher.tflite")
    make_cnn().save(folder / "student.keras")
    np.savez(folder / "from_1.npz", x=x, y=y + 1)
    np.savez(folder / "nan.npz", x=x * np.nan, y=y)
    np.savez(folder / "halves.npz", x=x, y=y + 0.5)
    np.savez(folder / "names.npz", x=x, y=y.astype(str))
    np.savez(folder / "many.npz", x=x, y=np.ones((len(x), 4)))
    ending = [keras.Input(x.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(1)]
    keras.Sequential(ending).save(folder / "number.keras")
    return folder


def test_a_narrow_student_learns(folder, tmp_path):
    options = ("--epochs", 12, "--learning-rate", 0.01, "--json")
    out = tmp_path / "small.keras"
    done = run(folder / "teacher_0.keras", "--data", folder / "data.npz", "-o", out, *options)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["accuracy"]["student"] > found["accuracy"]["student before"] + 0.2
    student = keras.models.load_model(out)
    assert student.count_params() == found["student_parameters"] < found["teacher_parameters"]
    x, y = make_data(512)
    accuracy = np.mean(student.predict(x[-51:], verbose=0).argmax(-1) == y[-51:])
    assert accuracy == pytest.approx(found["accuracy"]["student"])


def test_a_training_that_loses_its_weights_writes_nothing(folder, tmp_path):
    x, y = make_data(64)
    np.savez(tmp_path / "data.npz", x_train=x * 1e30, y_train=y, x_test=x, y_test=y)
    out = tmp_path / "new" / "o.keras"
    teacher, student = folder / "teacher_0.keras", folder / "student.keras"
    options = ("--epochs", 2, "--learning-rate", 10, "--json")
    done = run(teacher, "--student", student, "--data", tmp_path / "data.npz", "-o", out, *options)
    assert done.exit_code == 1, done.output
    assert "holds NaN or infinity: train with a smaller" in json.loads(done.stdout)["error"]
    assert not out.parent.exists()


@pytest.mark.parametrize("teachers", [["teacher_0.keras", "teacher_1.keras"], ["teacher.tflite"]])
def test_several_teachers_and_flatbuffers(folder, tmp_path, teachers):
    data, student = folder / "data.npz", folder / "student.keras"
    out = tmp_path / "out.keras"
    paths = [folder / name for name in teachers]
    done = run(*paths, "--student", student, "--data", data, "-o", out, "--epochs", 1)
    assert done.exit_code == 0, done.output
    assert "student before" in done.output
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.keras", "--data", "{f}/data.npz", "-o", "{f}/o.keras"], "no such file"),
        (["{f}/teacher_0.keras", "--data", "{f}/no.npz", "-o", "{f}/o.keras"], "no such file"),
        (["{f}/teacher_0.keras", "--data", "{f}/other.npz", "-o", "{f}/o.keras"], "images, labels"),
        (["{f}/teacher_0.keras", "--data", "{f}/uneven.npz", "-o", "{f}/o.keras"], "3 in y"),
        (["{f}/teacher_0.keras", "--data", "{f}/data.npz", "-o", "{f}/o.tflite"], ".keras"),
        (["{f}/teacher_0.keras", "--data", "{f}/data.npz", "-o", "{f}"], "is a folder"),
        (["{f}/teacher.tflite", "--data", "{f}/data.npz", "-o", "{f}/o.keras"], "--student is"),
        (
            ["{f}/teacher_0.keras", "--data", "{f}/data.npz", "-o", "{f}/teacher_0.keras"],
            "a file to read",
        ),
        (["{f}/teacher_0.keras", "--data", "{f}/from_1.npz", "-o", "{f}/o.keras"], "1 to 4"),
        (["{f}/teacher_0.keras", "--data", "{f}/nan.npz", "-o", "{f}/o.keras"], "not finite"),
        (["{f}/teacher_0.keras", "--data", "{f}/halves.npz", "-o", "{f}/o.keras"], "0.5 to 3.5"),
        (["{f}/teacher_0.keras", "--data", "{f}/names.npz", "-o", "{f}/o.keras"], "be numbers"),
        (["{f}/teacher_0.keras", "--data", "{f}/many.npz", "-o", "{f}/o.keras"], "one-hot of 4"),
        (
            ["{f}/teacher_0.keras", "--data", "{f}/data.npz", "-o", "{f}/o.keras"]
            + ["--temperature", "0"],
            "'--temperature': 0",
        ),
        (
            ["{f}/teacher_0.keras", "--data", "{f}/data.npz", "-o", "{f}/o.keras"]
            + ["--student", "{f}/student.keras", "--depth", "2"],
            "--depth is of a narrow teacher",
        ),
        (
            ["{f}/teacher_0.keras", "--data", "{f}/data.npz", "-o", "{f}/o.keras"]
            + ["--student", "{f}/number.keras"],
            "ends in a sigmoid",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder, arguments, message):
    done = run(*(a.format(f=folder) for a in arguments))
    assert done.exit_code == 2
    assert message in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert not (folder / "o.keras").exists()
