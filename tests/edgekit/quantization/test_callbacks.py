"""FreezeBatchNorm, FreezeRanges, DelayQuantization."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.core.selection import all_layers


def qat_net():
    x = keras.Input((8,))
    y = layers.ReLU()(layers.BatchNormalization(name="bn")(layers.Dense(6, name="dense")(x)))
    return ek.quantize_aware(keras.Model(x, layers.Dense(2, name="head")(y)))


def fit(model, callbacks=(), epochs=4, **options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype("float32")
    model.compile("sgd", "mse")
    model.fit(
        x, x[:, :2], epochs=epochs, batch_size=16, verbose=0, callbacks=list(callbacks), **options
    )


class Record(keras.callbacks.Callback):
    """What `look` sees after each epoch."""

    def __init__(self, look):
        super().__init__()
        self.look, self.seen = look, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.look(self.model))


class Wider(keras.callbacks.Callback):
    """Lets the values inside grow from epoch to epoch."""

    def on_epoch_end(self, epoch, logs=None):
        kernel = self.model.get_layer("quant_head").layer.kernel
        kernel.assign(2 * kernel)


def unchanged(seen):
    return [bool(np.array_equal(a, b)) for a, b in zip(seen, seen[1:], strict=False)]


def test_batchnorm_statistics_stand_still_and_the_rest_trains():
    def norm(model):
        return model.get_layer("quant_dense").batchnorm

    mean = Record(lambda m: np.asarray(norm(m).moving_mean).copy())
    gamma = Record(lambda m: np.asarray(norm(m).gamma).copy())
    model = qat_net()
    fit(model, [ek.FreezeBatchNorm(2), mean, gamma])
    assert unchanged(mean.seen) == [False, True, True]
    assert unchanged(gamma.seen) == [False, False, False]
    fit(model, [mean])
    assert unchanged(mean.seen[3:])[:2] == [False, False]  # the next fit is its own


def test_ranges_stand_still():
    model = qat_net()
    look = Record(lambda m: float(m.get_layer("head")._range()[1]))
    fit(model, [Wider(), ek.FreezeRanges(0.5), look])
    assert unchanged(look.seen) == [False, True, True]
    assert not any(getattr(layer, "frozen", False) for layer in all_layers(model))


def test_delayed_rounding_follows_ranges_and_ends_with_the_fit():
    model = qat_net()
    rounding = [layer for layer in all_layers(model) if hasattr(layer, "delayed")]
    delayed = Record(lambda m: all(layer.delayed for layer in rounding))
    fit(model, [ek.DelayQuantization(0.5), delayed])
    assert delayed.seen == [True, True, False, False]
    assert all(
        x.calibrated for x in all_layers(model) if isinstance(x, ek.quantization.FakeQuantize)
    )

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    x = np.random.default_rng(1).normal(size=(4, 8)).astype("float32")
    before = model.predict(x, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [ek.DelayQuantization(3), Stop()], epochs=5)
    after = model.predict(x, verbose=0)  # an interrupted fit leaves no unrounded model
    assert len(np.unique(after)) <= 256
    assert before.shape == after.shape


def test_an_initial_epoch_counts():
    model = qat_net()
    look = Record(lambda m: m.get_layer("quant_dense").freeze_statistics)
    fit(model, [ek.FreezeBatchNorm(2), look], initial_epoch=1)
    assert look.seen == [False, True, True]


@pytest.mark.parametrize("kind", [ek.FreezeBatchNorm, ek.FreezeRanges, ek.DelayQuantization])
@pytest.mark.parametrize("value", [-1, 1.5, True, "2", None])
def test_bad_arguments(kind, value):
    with pytest.raises(ValueError, match="a number of epochs .* Received"):
        kind(value)


def test_plain_models_are_refused():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="it is for models from ek.quantize_aware"):
        fit(model, [ek.FreezeRanges()])
