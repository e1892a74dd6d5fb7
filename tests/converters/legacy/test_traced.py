"""Models of tf_keras straight into `convert`."""

import numpy as np
import pytest

from converters import convert, inspect

tk = pytest.importorskip("tf_keras")
L = tk.layers


def samples(count=64):
    return np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype("float32")


class Net(tk.Model):
    """A class of a user's own: its structure is code."""

    def __init__(self):
        super().__init__(name="net")
        self.conv = L.Conv2D(4, 3, activation="relu")
        self.classes = L.Dense(3)

    def call(self, x):
        x = self.conv(x)
        return {"scores": self.classes(tk.backend.mean(x, (1, 2)))}


def test_a_model_that_can_be_carried_over_converts():
    image = tk.Input((8, 8, 3), name="image")
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3)(image)))
    model = tk.Model(image, L.Dense(3)(L.Flatten()(x)))
    files = convert(model, ["float32", "int8"], calibration={"image": samples()})
    found = files["float32"].predict(samples(4))
    np.testing.assert_allclose(found, model(samples(4)), atol=1e-5)
    assert set(inspect(files["int8"]).op_dtypes) == {"int8"}


def test_a_class_of_the_users_own_converts_as_it_is():
    model = Net()
    with pytest.raises(ValueError, match="call it once on a batch"):
        convert(model)
    model(samples(2))
    files = convert(model, ["float32", "int8"], calibration=samples())
    found = files["float32"].predict(samples(4))
    np.testing.assert_allclose(found, model(samples(4))["scores"], atol=1e-5)
    assert set(inspect(files["int8"]).op_dtypes) == {"int8"}


def test_broken_weights_are_seen():
    model = Net()
    model(samples(2))
    model.classes.bias.assign([np.nan, 0, 0])
    with pytest.raises(ValueError, match="bias.*holds NaN"):
        convert(model)


@pytest.mark.parametrize("name", ["old.h5", "old.keras", "old"])
def test_files_convert(tmp_path, name):
    model = tk.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)])
    model.save(tmp_path / name)
    found = convert(tmp_path / name)["float32"].predict(samples(4))
    np.testing.assert_allclose(found, model(samples(4)), atol=1e-5)
