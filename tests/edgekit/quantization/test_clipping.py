"""What learned ranges clip is counted in training, and said by `convert` and `verify`."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.quantization import FakeQuantize
from edgekit.quantization.clipping import clipped_shares

X = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
HEAVY = np.sign(X) * np.abs(X) ** 5


def net():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8,)), layers.Dense(4, name="dense")])


def trained(scheme, callbacks=()):
    model = ek.quantize_aware(net(), scheme)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(HEAVY, np.zeros((256, 4)), epochs=4, verbose=0, callbacks=list(callbacks))
    return model


@pytest.fixture(scope="module")
def clipping():
    """A model whose ranges clip, and its file; the warning is asserted here."""
    model = trained(ek.QuantScheme(estimator="percentile", percentile=95))
    with pytest.warns(UserWarning, match="learned ranges clip more than 0.3%"):
        file = ek.convert(model, "int8")["int8"]
    return model, file


def test_the_share_of_clipped_values_is_that_by_numpy(clipping):
    model, _ = clipping
    (first, *_) = [layer for layer in model.layers if isinstance(layer, FakeQuantize)]
    low, high = (float(end) for end in first._range())
    half = (high - low) / 510
    expected = np.mean((low - half > HEAVY) | (high + half < HEAVY))
    assert 0.01 < expected < 0.1
    assert clipped_shares(model, HEAVY)[first.path] == pytest.approx(expected)
    assert first.clipped == pytest.approx(expected, rel=0.3)  # of batches, while the range moved


def test_convert_and_verify_say_so(clipping):
    model, file = clipping
    (note,) = [note for note in file.check.notes if "clip more than" in note]
    assert "estimator='recent'" in note
    found = ek.verify(model, file, HEAVY)
    assert max(found.clipped.values()) > 0.01
    assert "% of its values" in found.summary()


def test_default_ranges_clip_nothing_and_nothing_is_said():
    model = trained("int8")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        file = ek.convert(model, "int8")["int8"]
    assert not any("clip" in note for note in file.check.notes)
    assert max(clipped_shares(model, HEAVY).values()) == 0
    assert not ek.verify(model, file, HEAVY).clipped


def test_what_a_mask_hides_is_not_clipped():
    x = np.random.default_rng(0).normal(size=(8, 6, 4)).astype("float32")
    i = keras.Input((6, 4))
    scores = keras.ops.matmul(i, keras.ops.transpose(i, (0, 2, 1)))
    hidden = np.triu(np.full((6, 6), -1e9, "float32"), 1)
    own = keras.ops.matmul(keras.ops.softmax(scores + hidden), i)
    layer = layers.MultiHeadAttention(1, 4)(i, i, use_causal_mask=True)
    model = ek.quantize_aware(keras.Model(i, [own, layer]))
    model(x, training=True)
    assert max(clipped_shares(model, x).values()) < 0.003  # 15 of 36 scores are hidden


def test_a_range_that_was_frozen_too_early_is_counted():
    layer = FakeQuantize()
    layer(np.linspace(-1, 1, 10).astype("float32"), training=True)
    assert layer.clipped == 0
    layer.frozen = True
    for _ in range(3):
        layer(np.array([0, 0.5, 1, 7], "float32"), training=True)
    assert layer.clipped == pytest.approx(0.25)


def test_of_several_calls_the_worst_counts():
    model = keras.Sequential([keras.Input((8,)), FakeQuantize(estimator="ema", sites=2)])
    (layer,) = model.layers
    layer(X, training=True)
    layer.clips.assign([[0.0, 1.0], [0.5, 1.0]])
    assert layer.clipped == 0.5
