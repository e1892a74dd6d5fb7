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


class InTheMiddle(keras.callbacks.Callback):
    """Does something in the second epoch, and sees each step's zeros and distinct values after."""

    def __init__(self, act):
        super().__init__()
        self._act, self.zeros, self.distinct = act, [], []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self._act(self.model)

    def on_train_batch_end(self, batch, logs=None):
        kernel = np.asarray(self.model.layers[0].kernel)
        self.zeros.append(np.mean(kernel == 0))
        self.distinct.append(np.unique(kernel).size)


def compiled_anew(model):
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")
    model.make_train_function()


IN_THE_MIDDLE = {
    "compile": compiled_anew,
    "train_on_batch": lambda model: model.train_on_batch(X, Y),
    "fit": lambda model: model.fit(X, Y, verbose=0),
}


@pytest.mark.parametrize(
    ("act", "criterion"),
    [
        ("compile", "magnitude"),
        ("train_on_batch", "movement"),
        ("fit", "wanda"),
    ],
)
def test_masks_hold_whatever_a_callback_does_in_the_middle(act, criterion):
    model, seen = net(), InTheMiddle(IN_THE_MIDDLE[act])
    pruning = ek.GradualPruning(0.5, ek.schedules.Constant(at=2), criterion=criterion)
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[seen, pruning])
    assert seen.zeros[3:] == [0.5] * 9
    if act == "compile":
        averages = model.optimizer._model_variables_moving_average
        assert [np.mean(np.asarray(a) == 0) for a in averages[::2]] == [0.5, 0.5]
    assert not {"make_train_function", "_edgekit_waiting", "_edgekit_seeing"} & set(vars(model))
    assert "apply" not in vars(model.optimizer)


@pytest.mark.parametrize("act", ["compile", "fit"])
def test_clusters_hold_whatever_a_callback_does_in_the_middle(act):
    model, seen = net(), InTheMiddle(IN_THE_MIDDLE[act])
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[seen, ek.WeightClustering(4)])
    assert seen.distinct == [4] * 12


def set_free(model):
    model.layers[0].trainable = True
    compiled_anew(model)


@pytest.mark.parametrize(("kind", "first"), [(ek.KeepSparsity, True), (ek.KeepClusters, False)])
def test_what_a_layer_set_free_in_the_middle_has_is_kept(kind, first):
    model, seen = net(), InTheMiddle(set_free)
    for layer in model.layers:
        values = np.asarray(layer.kernel)
        large = np.abs(values) > np.median(np.abs(values))
        layer.kernel.assign(0.3 * large * np.sign(values))
    kernel = model.layers[0].kernel
    model.layers[0].trainable = False
    model.compile(keras.optimizers.Adam(0.01), "mse")
    before = np.asarray(kernel).copy()
    callbacks = [seen, kind()] if first else [kind(), seen]
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=callbacks)
    assert seen.zeros == [0.5] * 12
    if kind is ek.KeepClusters:
        assert seen.distinct == [3] * 12
    assert np.abs(np.asarray(kernel) - before).max() > 0
    assert kernel.constraint is None


def test_gradients_of_a_new_optimizer_are_watched():
    """What is judged at the last step is the sum over the new optimizer's steps too."""
    model = net()

    def other_loss(model):
        model.compile(keras.optimizers.SGD(1e-9), lambda y, p: 1e6 * p[:, 0])
        model.make_train_function()

    pruning = ek.GradualPruning(0.5, ek.schedules.OneShot(at=11), criterion="taylor", layers="b$")
    seen = InTheMiddle(other_loss)
    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[seen, pruning])
    (kept,) = pruning.masks.values()
    # Only weights of output 0 have a gradient of any size behind the change.
    assert kept[:, 0].all()
    assert kept.sum() == 64
