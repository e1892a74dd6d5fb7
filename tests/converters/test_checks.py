import numpy as np
import pytest
from keras import Input, Sequential, layers

import edgekit as ek
from converters.checks import compare, probe


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
