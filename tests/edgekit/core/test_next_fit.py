"""What an interrupted fit leaves on a model goes when the next one begins."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek

X, Y = np.random.default_rng(0).random((2, 32, 8), "float32")


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


def net():
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16, name="a"), layers.Dense(8, name="b")]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def interrupted(*callbacks):
    model = net()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=8, verbose=0, callbacks=[*callbacks, Interrupt()])
    return model


@pytest.mark.parametrize("criterion", ["magnitude", "taylor", "wanda"])
@pytest.mark.parametrize("again", ["fit", "compile and fit", "train_on_batch"])
def test_a_plain_fit_is_plain(criterion, again):
    model = interrupted(
        ek.GradualPruning(0.5, ek.schedules.Polynomial(end=2), criterion=criterion, layers="b$"),
        ek.GradualPruning({"/a$": 0.2}),
    )
    kernel = model.layers[1].kernel
    dense = np.ones(kernel.shape, "float32")
    kernel.assign(dense)
    if again == "compile and fit":
        model.compile("adam", "mse")
    if again == "train_on_batch":
        model.train_on_batch(X, Y)
    else:
        model.fit(X, Y, verbose=0)
    assert np.asarray(kernel).all()
    assert kernel.constraint is None
    assert "apply" not in vars(model.optimizer)
    assert not {"make_train_function", "_edgekit_waiting"} & set(vars(model))
    assert all("call" not in vars(layer) for layer in model.layers)


def test_zeros_that_were_kept_are_free_again():
    model = net()
    kernel = model.layers[0].kernel
    kernel.assign(np.eye(8, 16))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=8, verbose=0, callbacks=[ek.KeepSparsity(), Interrupt()])
    model.fit(X, Y, batch_size=8, verbose=0)
    assert np.mean(np.asarray(kernel) != 0) > 0.5


def test_nothing_is_left_after_a_whole_fit():
    model = net()
    callbacks = [ek.GradualPruning(0.5), ek.DynamicSparsity(0.5, every=1)]
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=callbacks)
    assert not {"make_train_function", "_edgekit_waiting"} & set(vars(model))
