from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import Input, Sequential, layers, ops

import edgekit as ek
from converters import ConversionError, FailedCheckError
from converters.checks import compare, probe, read_checks, write_checks
from converters.judgement import refuse_broken, rounded_away


def test_decibel_and_agreement():
    expected = {"classes": np.eye(4) * 10.0, "value": np.ones((4, 1))}
    found = {"classes": expected["classes"].copy(), "value": np.full((4, 1), 1.1)}
    found["classes"][0] = [0, 9, 0, 0]
    check = compare(expected, found)
    assert check.samples == 4
    assert check.agreement == {"classes": 0.75}
    assert check.decibel["value"] == pytest.approx(20)
    assert check.worst[0] == "classes"
    assert compare(expected, expected).decibel == {"classes": np.inf, "value": np.inf}


def test_probes_are_seeded_and_fit():
    shapes, dtypes = {"x": (None, 3), "i": (None, 2)}, {"x": "float32", "i": "int32"}
    one, two = (probe(shapes, dtypes, 5) for _ in range(2))
    assert one["x"].shape == (5, 3)
    assert one["i"].dtype == "int32"
    np.testing.assert_array_equal(one["x"], two["x"])


def test_every_file_is_checked_when_made(trained, data):
    files = ek.convert(trained, ["float32", "int8"], calibration=data[0][:64])
    assert files["float32"].check.worst[1] > 90
    assert 20 < files["int8"].check.worst[1] < 60
    assert files["int8"].check.agreement["output_0"] > 0.8


def test_a_file_far_from_the_model_is_said():
    model = Sequential([Input((16,)), layers.Dense(16, name="narrow"), layers.Dense(4)])
    kernel, bias = model.layers[0].get_weights()
    kernel[:, 0] *= 3000  # one channel drowns the others
    model.layers[0].set_weights([kernel, bias])
    second, bias = model.layers[1].get_weights()
    second[0] = 0.0
    model.layers[1].set_weights([second, bias])
    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    with pytest.warns(UserWarning, match="int8: output 'output_0' is far from the model's"):
        ek.convert(model, "int8", calibration=x)


def test_an_answer_of_nan_is_counted_and_never_passes():
    right = {"y": np.ones((4, 2))}
    found = {"y": np.array([[1, np.nan], [1, 1], [np.inf, 1], [1, 1.0]])}
    check = compare(right, found)
    assert check.broken == {"y": 2}
    assert check.worst == ("y", -np.inf)
    own = compare(found, right)  # the model itself answers NaN
    assert own.broken == {}
    assert own.uncompared == {"y": 2}


def test_channels_that_drown_beside_larger_ones_are_found():
    rng = np.random.default_rng(0)
    boxes, scores = rng.uniform(0, 300, (8, 20, 4)), rng.uniform(0, 1, (8, 20, 2))
    right = np.concatenate([boxes, scores], axis=-1)
    step = 300 / 255
    check = compare({"y": right}, {"y": np.round(right / step) * step})
    assert check.decibel["y"] > 40
    assert check.lost == {"y": [4, 5]}


@pytest.mark.parametrize("kind", ["softmax", "dead", "exact"])
def test_channels_that_say_nothing_are_not_missed(kind):
    rng = np.random.default_rng(0)
    right = rng.normal(size=(8, 6)) * 3
    if kind == "softmax":
        right[:, 3] = -8.0  # a class that no sample is of
        right = np.exp(right) / np.exp(right).sum(axis=1, keepdims=True)
    elif kind == "dead":
        right = np.maximum(right, 0)
        right[:, 3] = 0
        right[0, 3] = 1e-3
    step = np.ptp(right) / 255
    found = right if kind == "exact" else np.round(right / step) * step
    assert compare({"y": right}, {"y": found}).lost == {}


def test_boxes_beside_scores_are_named_with_the_cure():
    inputs = keras.Input((8,))
    boxes = layers.Rescaling(300.0)(layers.Dense(4, activation="sigmoid")(inputs))
    scores = layers.Rescaling(0.5)(layers.Dense(3, activation="sigmoid")(inputs))
    model = keras.Model(inputs, layers.Concatenate(name="both")([boxes, scores]))
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    with pytest.warns(UserWarning, match="channels 4 to 6 of output 'output_0' are mostly noise"):
        files = ek.convert(model, ["int8", "int16x8"], calibration=x)
    assert files["int8"].check.worst[1] > 30
    assert "Make each part an output of its own" in files["int8"].check.notes[0]
    assert files["int16x8"].check.lost == {}
    split = keras.Model(inputs, [boxes, scores])
    assert ek.convert(split, "int8", calibration=x)["int8"].check.lost == {}
    qat = ek.quantize_aware(model)  # which the file equals, noise and all
    qat(x, training=True)
    with pytest.warns(UserWarning, match="channels 4 to 6 of output 'output_0' .* train it for"):
        ek.convert(qat, "int8")


def test_what_random_samples_take_beyond_a_range_is_not_lost():
    before = 100 * np.random.default_rng(0).normal(size=(8, 5))
    rounded = np.round(np.clip(before, -1, 1) * 127) / 127
    assert rounded_away({"y": before}, {"y": rounded}) == []
    before[:, 3:] *= 1e-5
    (note,) = rounded_away({"y": before}, {"y": np.round(np.clip(before, -1, 1) * 127) / 127})
    assert note.startswith("channels 3 to 4 of output 'y' are mostly noise")


@pytest.mark.parametrize("size", [1e-12, 1e-36, 1e-42])
def test_an_output_too_small_for_integers_is_said(size, recwarn):
    model = Sequential([Input((8,)), layers.Dense(6, activation="relu"), layers.Dense(3)])
    for layer in model.layers if size == 1e-42 else model.layers[1:]:
        layer.kernel.assign(ops.convert_to_numpy(layer.kernel) * np.float32(size))
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    qat = ek.quantize_aware(model)
    qat(x, training=True)
    says = "output 'output_0' is zero throughout: the model's values are"
    for source in (model, qat):
        file = ek.convert(source, "int8", calibration=None if source is qat else x)["int8"]
        np.testing.assert_array_equal(file.predict(x), 0.0)
        # TensorFlow takes the smallest for zeros itself, and what is quantized those of 1e-36.
        speaks = size > (1e-36 if source is qat else 1e-37)
        assert any(note.startswith(says) for note in file.check.notes) == speaks
        assert np.isfinite(ops.convert_to_numpy(source(x))).all()


@pytest.fixture(scope="module")
def cancelling():
    """A net of finite weights beyond float16 that cancel each other."""
    model = Sequential([Input((8,)), layers.Dense(256, name="wide"), layers.Dense(4)])
    kernel, bias = model.layers[0].get_weights()
    kernel[0, :2] = 1e5
    model.layers[0].set_weights([kernel, bias])
    kernel, bias = model.layers[1].get_weights()
    kernel[0], kernel[1] = 1, -1
    model.layers[1].set_weights([kernel, bias])
    return model


def test_a_weight_beyond_float16_is_named(cancelling):
    with pytest.raises(ConversionError, match=r"weight '.*wide.*' reaches 100000, float16 ends at"):
        ek.convert(cancelling, "float16")


def test_a_file_that_answers_nan_is_refused(cancelling):
    """Where a product is beyond float32 in the file's order of additions only."""
    check = compare({"y": np.ones((8, 1))}, {"y": np.full((8, 1), np.nan)})
    for name in ("float32", "float16", "int8"):
        with pytest.raises(
            FailedCheckError, match=f"{name}: output 'y' is NaN or infinite on 8 of 8"
        ):
            refuse_broken(name, check)


def test_what_is_lost_along_another_axis_is_named(tmp_path):
    right = np.random.default_rng(0).normal(size=(8, 6, 40))
    right[:, :4] *= 300
    step = np.ptp(right) / 255
    found = np.round(right / step) * step
    check = compare(
        {"y": right, "z": right.transpose(0, 2, 1)}, {"y": found, "z": found.transpose(0, 2, 1)}
    )
    assert (check.lost, check.lost_along) == ({"z": [4, 5]}, {"y": (1, [4, 5])})
    write_checks(tmp_path / "checks.json", {"int8": check})
    assert read_checks(tmp_path / "checks.json")["int8"].lost_along == check.lost_along
    several = {"int8": replace(check, signatures={"head": check}, notes=("a note",))}
    write_checks(tmp_path / "checks.json", several)
    assert read_checks(tmp_path / "checks.json") == several
    assert compare({"y": right}, {"y": right + right / 100}).lost_along == {}
