import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters.calibration.sample_scale import scale_notes

RNG = np.random.default_rng(0)
UNIT = RNG.random((8, 6, 6, 3)).astype("float32")
PIXELS = UNIT * 255


def net(*first):
    """A net that begins with these layers."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = inputs
    for layer in first:
        x = layer(x)
    return keras.Model(inputs, layers.Conv2D(2, 3)(x))


NETS = {
    "rescaling": net(layers.Rescaling(1 / 255)),
    "shifted": net(layers.ZeroPadding2D(), layers.Rescaling(1 / 127.5, -1)),
    "normalization": net(
        layers.Normalization(mean=[120.0, 110, 100], variance=[3600.0, 3000, 3500])
    ),
    "operations": net(lambda x: (x - 127.5) / 127.5),
    "nested": net(net(layers.Rescaling(1 / 255)), layers.ReLU()),
    "plain": net(),
    "enlarging": net(layers.Rescaling(255.0)),
}


@pytest.mark.parametrize("first", ["rescaling", "shifted", "normalization", "operations", "nested"])
def test_samples_from_0_to_1_for_a_net_that_scales_pixels(first):
    (note,) = scale_notes(NETS[first], {"image": UNIT})
    assert "another scale than it was trained on" in note
    assert scale_notes(NETS[first], {"image": PIXELS}) == []


def test_values_far_beyond_what_the_scaling_is_for():
    (note,) = scale_notes(NETS["rescaling"], {"image": UNIT * 65535})
    assert "from" in note
    assert scale_notes(NETS["enlarging"], {"image": UNIT}) == []
    assert scale_notes(NETS["plain"], {"image": PIXELS}) == []


def test_bytes_for_a_net_of_floats():
    (note,) = scale_notes(NETS["plain"], {"image": PIXELS.round()}, ["image"])
    assert "as uint8, and the model takes floats" in note
    assert scale_notes(NETS["rescaling"], {"image": PIXELS.round()}, ["image"]) == []


def test_a_conversion_says_it_aloud_and_keeps_it():
    model = keras.Sequential(
        [keras.Input((6, 6, 3), name="image"), layers.Rescaling(1 / 255), layers.Conv2D(2, 3)]
    )
    with pytest.warns(UserWarning, match="samples of input 'image' reach from .* another scale"):
        file = ek.convert(model, "int8", calibration=UNIT)["int8"]
    assert "another scale" in file.check.notes[0]
