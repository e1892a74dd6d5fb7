import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


def net():
    model = keras.Sequential(
        [keras.Input((20,)), layers.Dense(30, name="a"), layers.Dense(4, name="b")], name="net"
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def fit(model, callback, steps=12, **options):
    rng = np.random.default_rng(0)
    x, y = rng.random((8 * steps, 20)), rng.random((8 * steps, 4))
    return model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback], **options)


class Watch(keras.callbacks.Callback):
    """The masks in use after each step, and the weights that are not zero."""

    def __init__(self, callback):
        super().__init__()
        self.callback, self.masks, self.values = callback, [], []

    def on_train_batch_end(self, batch, logs=None):
        self.masks.append(self.callback.masks["net/a/kernel"].copy())
        self.values.append(np.asarray(self.model.get_layer("a").kernel))


def run(method, **options):
    keras.utils.set_random_seed(0)
    model = net()
    callback = ek.DynamicSparsity(0.8, method, every=3, end=0.9, scope="layer", **options)
    watch = Watch(callback)
    rng = np.random.default_rng(0)
    model.fit(
        rng.random((96, 20)), rng.random((96, 4)), batch_size=8, verbose=0, shuffle=False,
        callbacks=[callback, watch],
    )  # fmt: skip
    return model, watch


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_connections_move_and_their_number_stays(method):
    model, watch = run(method)
    for mask, values in zip(watch.masks, watch.values, strict=True):
        assert np.sum(~mask) == 480  # of 600
        assert not values[~mask].any()
    moved = [np.sum(a & ~b) for a, b in zip(watch.masks, watch.masks[1:], strict=False)]
    at = [step + 1 for step, count in enumerate(moved) if count]
    # The cosine is at its end at step 9: nothing moves there.
    assert at == [3, 6]
    assert moved[2] >= moved[5]
    assert model.get_layer("a").kernel.constraint is None
    assert "apply" not in vars(model.optimizer)


def test_rigl_grows_where_the_gradient_is_largest():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(1, use_bias=False, name="a")], name="net"
    )
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    y = x @ np.float32([[0], [0], [0], [0], [0], [50]])  # all that matters is the last input
    for seed in range(5):  # whichever half the masks begin with
        callback = ek.DynamicSparsity(0.5, every=4, share=1.0, end=8, scope="layer", seed=seed)
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback])
        assert callback.masks["net/a/kernel"][5, 0]


def test_set_is_seeded():
    first, again, other = run("set"), run("set"), run("set", seed=1)
    np.testing.assert_array_equal(first[1].masks, again[1].masks)
    assert not np.array_equal(first[1].masks[0], other[1].masks[0])


def test_erk_is_the_default():
    model = net()
    callback = ek.DynamicSparsity(0.5, every=3)
    history = fit(model, callback)
    shares = {path: np.mean(~mask) for path, mask in callback.masks.items()}
    assert shares["net/b/kernel"] < 0.5 < shares["net/a/kernel"]
    assert history.history["sparsity"][-1] == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "snfs"}, "`method` must be 'rigl' or 'set'"),
        ({"every": 0}, "`every` must be a whole number"),
        ({"share": 0}, "`share` must be above 0"),
        ({"scope": "global"}, "each kernel keeps its number"),
        ({"seed": "a"}, "`seed` must be"),
        ({"end": 1.5}, "`end` as a float is a fraction"),
    ],
)
def test_bad_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        ek.DynamicSparsity(0.5, **options)


def test_a_fit_too_short_to_move_is_refused():
    with pytest.raises(ValueError, match="move every 100 steps and stop moving at step 9"):
        fit(net(), ek.DynamicSparsity(0.5))
    with pytest.raises(ValueError, match="`end`=50 lies beyond the 12 steps"):
        fit(net(), ek.DynamicSparsity(0.5, every=2, end=50))


def test_a_sparse_kernel_begins_with_the_weights_it_has():
    model = net()
    fit(model, ek.GradualPruning(0.75, ek.schedules.Constant()))
    before = [np.asarray(layer.kernel) != 0 for layer in model.layers]

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                self.seen = [np.asarray(layer.kernel) != 0 for layer in self.model.layers]

    look, x = Look(), np.zeros((16, *model.input_shape[1:]))
    callbacks = [ek.DynamicSparsity(0.75, every=2, scope="layer"), look]
    model.fit(
        x, np.zeros((16, *model.output_shape[1:])), batch_size=4, verbose=0, callbacks=callbacks
    )
    for now, then in zip(look.seen, before, strict=True):
        np.testing.assert_array_equal(now, then)
