"""Masks and shared values hold whoever writes weights, and wherever he stands in the list."""

import itertools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
STEPS = 4  # of an epoch


class Lookahead(keras.optimizers.Adam):
    """Steps back towards slow weights after each second step, past the constraints."""

    def __init__(self, *args, native=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.native = native

    def build(self, variables):
        super().build(variables)
        self._slow = self.add_optimizer_variables(variables, "slow")
        for slow, variable in zip(self._slow, variables, strict=True):
            slow.assign(variable)

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        for slow, variable in zip(self._slow, trainable_variables, strict=True):
            mean = (slow.value + variable.value) / 2
            even = self.iterations % 2 == 0
            slow.assign(keras.ops.where(even, mean, slow))
            into = variable.value if self.native else variable
            into.assign(keras.ops.where(even, mean, variable))


class OwnStep(keras.Model):
    """Writes weights after the optimizer, in its own train step."""

    def train_step(self, data):
        logs = super().train_step(data)
        for variable in self.trainable_variables:
            variable.assign(variable + 0.001)
        return logs


def by_layer(first, second):
    keras_map = keras.optimizers.OptimizerMap(default_optimizer=second)
    keras_map[".*hidden.*"] = first
    return keras.optimizers.MultiOptimizer(keras_map)


def adam(**settings):
    return keras.optimizers.Adam(0.02, **settings)


EMA = {"use_ema": True, "ema_momentum": 0.8}
OPTIMIZERS = {
    "adam": adam,
    "averages": lambda: adam(**EMA),
    "averages written over": lambda: adam(**EMA, ema_overwrite_frequency=3),
    "scaled averages": lambda: keras.optimizers.LossScaleOptimizer(adam(**EMA), initial_scale=8.0),
    "averages of sums": lambda: adam(**EMA, gradient_accumulation_steps=3),
    "several": lambda: by_layer(adam(**EMA), keras.optimizers.SGD(0.1, **EMA)),
    "decay": lambda: keras.optimizers.AdamW(0.02, weight_decay=0.1, clipnorm=1.0),
    "lookahead": lambda: Lookahead(0.02),
    "lookahead, native": lambda: Lookahead(0.02, native=True),
    "schedule-free": lambda: keras.optimizers.ScheduleFreeAdamW(0.05),
    "muon": lambda: keras.optimizers.Muon(0.02, weight_decay=0.01, **EMA),
    "lion": lambda: keras.optimizers.Lion(0.01),
}


class PutBack(keras.callbacks.Callback):
    """Puts weights from before the fit back, in one of the ways there are."""

    def __init__(self, when, how):
        super().__init__()
        self.when, self.how = when, how

    def on_train_begin(self, logs=None):
        self.weights = [RNG.normal(size=w.shape) for w in self.model.get_weights()]

    def on_epoch_end(self, epoch, logs=None):
        if self.when == "epoch":
            self._write()

    def on_train_end(self, logs=None):
        if self.when == "end":
            self._write()

    def _write(self):
        if self.how == "model":
            self.model.set_weights(self.weights)
            return
        for variable, value in zip(self.model.weights, self.weights, strict=True):
            (variable.value if self.how == "native" else variable).assign(value)


CALLBACKS = {
    "none": lambda folder: [],
    "swap": lambda folder: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
    "early stopping": lambda folder: [
        keras.callbacks.EarlyStopping("loss", restore_best_weights=True, baseline=-1.0, patience=9)
    ],
    "model put back each epoch": lambda folder: [PutBack("epoch", "model")],
    "variables put back each epoch": lambda folder: [PutBack("epoch", "variable")],
    "model put back": lambda folder: [PutBack("end", "model")],
    "past Keras put back": lambda folder: [PutBack("end", "native")],
    "backup": lambda folder: [keras.callbacks.BackupAndRestore(folder / "backup")],
}


class Look(keras.callbacks.Callback):
    """What a checkpoint, and a validation, would see."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(kernels(self.model))

    def on_test_batch_begin(self, batch, logs=None):
        self.seen.append(kernels(self.model))


def kernels(model):
    return [np.asarray(layer.kernel).copy() for layer in model.layers if hasattr(layer, "kernel")]


def net(kind=keras.Model):
    inputs = keras.Input((6,))
    x = layers.Dense(8, activation="relu", name="hidden")(inputs)
    return kind(inputs, layers.Dense(2, activation="softmax", name="out")(x))


def half_sparse(model):
    for layer in model.layers[1:]:
        kernel = np.asarray(layer.kernel).copy()
        kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
        layer.kernel.assign(kernel)
    return model


def pruned(weights):
    return all(np.sum(kernel == 0) >= kernel.size // 2 for kernel in weights)


def clustered(weights):
    return all(len(np.unique(kernel)) <= 4 for kernel in weights)


TECHNIQUES = {
    "pruning": (lambda: ek.GradualPruning(0.5, ek.schedules.Constant()), pruned),
    "kept zeros": (ek.KeepSparsity, pruned),
    "clustering": (lambda: ek.WeightClustering(4), clustered),
    "kept clusters": (ek.KeepClusters, clustered),
    "clustering, sums": (lambda: ek.WeightClustering(4, gradient="sum"), clustered),
    "clustering, refreshed": (lambda: ek.WeightClustering(4, refresh=3), clustered),
}

EVERY = list(itertools.product(OPTIMIZERS, CALLBACKS, ["before", "behind"]))
SAMPLED = 25  # of each technique's combinations


def allowed(technique, optimizer, callback, place):
    if callback == "swap" and "averages" not in optimizer and optimizer not in ("several", "muon"):
        return False
    if callback == "none" and place == "behind":
        return False
    return not (technique == "clustering, sums" and optimizer == "averages written over")


FAST = [
    ("pruning", "averages", "swap", "before"),
    ("pruning", "averages", "swap", "behind"),
    ("pruning", "scaled averages", "swap", "behind"),
    ("pruning", "averages written over", "early stopping", "behind"),
    ("pruning", "lookahead, native", "none", "before"),
    ("kept zeros", "lookahead", "model put back", "behind"),
    ("clustering", "averages", "swap", "behind"),
    ("clustering", "muon", "past Keras put back", "behind"),
    ("clustering, sums", "averages", "model put back each epoch", "before"),
    ("clustering, refreshed", "lookahead, native", "variables put back each epoch", "behind"),
    ("kept clusters", "schedule-free", "model put back", "behind"),
]


@pytest.mark.parametrize(("technique", "optimizer", "callback", "place"), FAST)
@pytest.mark.filterwarnings("ignore:.*another callback has put weights back")
def test_it_holds(technique, optimizer, callback, place, tmp_path):
    check(technique, optimizer, callback, place, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.filterwarnings("ignore")
def test_it_holds_in_any_combination(technique, tmp_path):
    every = [rest for rest in EVERY if allowed(technique, *rest)]
    chance = random.Random(technique)
    for number, rest in enumerate(chance.sample(every, SAMPLED)):
        check(technique, *rest, tmp_path / str(number))


def check(technique, optimizer, callback, place, folder):
    keras.utils.set_random_seed(0)
    make, holds = TECHNIQUES[technique]
    model = half_sparse(net())
    if technique == "kept clusters":
        for layer in model.layers[1:]:
            layer.kernel.assign(np.sign(np.round(2 * np.asarray(layer.kernel))))
    others, look = CALLBACKS[callback](folder), Look()
    own = [make()]
    listed = [*others, *own] if place == "before" else [*own, *others]
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    model.fit(
        X, Y, batch_size=8, epochs=3, verbose=0, validation_data=(X, Y), callbacks=[*listed, look]
    )
    assert len(look.seen) == 3 * (STEPS + 1)
    assert all(map(holds, look.seen))
    assert holds(kernels(model))
    for variable in model.trainable_variables:
        assert np.isfinite(np.asarray(variable)).all()
        assert variable.constraint is None
        assert "assign" not in vars(variable)
    assert not {"apply", "build"} & set(vars(model.optimizer))


class WritesPastKeras(keras.callbacks.Callback):
    """Writes TensorFlow's own variables; after the first step that would be refused."""

    def on_train_batch_end(self, batch, logs=None):
        for variable in self.model.trainable_variables if batch else ():
            variable.value.assign(RNG.normal(size=variable.shape))


@pytest.mark.parametrize("technique", ["pruning", "kept zeros", "clustering"])
def test_checkpoints_hold_what_was_written_past_keras_before_them(technique, tmp_path):
    make, holds = TECHNIQUES[technique]
    model = half_sparse(net())
    model.compile(adam(), "sparse_categorical_crossentropy")
    each = {"save_freq": 2, "verbose": 0}
    callbacks = [
        WritesPastKeras(),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}_{batch}.keras", **each),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "{epoch}_{batch}.weights.h5", save_weights_only=True, **each
        ),
        keras.callbacks.BackupAndRestore(tmp_path / "kept", delete_checkpoint=False),
        make(),
    ]
    before = set(vars(model))
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    written = [*tmp_path.glob("*.keras"), *tmp_path.glob("*.h5"), *tmp_path.glob("kept/*.h5")]
    assert len(written) == 4 + 4 + 1
    for path in written:
        read = net()
        read.compile(adam(), "sparse_categorical_crossentropy")
        read.load_weights(path)
        assert holds(kernels(read)), path.name
    assert not {"save", "save_weights", "export"} & (set(vars(model)) - before)


def test_a_train_step_that_writes_weights_itself():
    model = net(OwnStep)
    model.compile("adam", "sparse_categorical_crossentropy")
    look = Look()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[ek.GradualPruning(0.5), look])
    assert pruned(kernels(model))


class TwoOptimizers(keras.Model):
    """Steps by optimizers of its own, that it keeps in a list or dict."""

    def compile(self, optimizers, **settings):
        super().compile(**settings)
        self.own = optimizers

    def train_step(self, data):
        first, second = self.own.values() if isinstance(self.own, dict) else self.own
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.compute_loss(data[0], data[1], self(data[0], training=True))
        gradients = tape.gradient(loss, variables)
        first.apply(gradients[:2], variables[:2])
        second.apply(gradients[2:], variables[2:])
        return {"done": loss}


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
@pytest.mark.parametrize("pack", [list, lambda both: dict(zip("ab", both, strict=True))])
def test_optimizers_that_a_train_step_keeps_in_a_container(pack, criterion):
    model, optimizers = net(TwoOptimizers), [adam(**EMA), adam(**EMA)]
    model.compile(pack(optimizers), loss="sparse_categorical_crossentropy")
    schedule = ek.schedules.OneShot(at=0.5)
    pruning = ek.GradualPruning(0.5, schedule, criterion=criterion)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    averages = [each for one in optimizers for each in one._model_variables_moving_average]
    assert pruned([np.asarray(each) for each in averages if len(each.shape) > 1])
    assert pruned(kernels(model))


def test_the_averages_are_those_of_the_weights_that_are_left():
    """By hand: plain SGD under a mask that stands from the first step on."""
    model = half_sparse(net())
    mask = np.asarray(model.trainable_variables[0]) != 0
    model.compile(keras.optimizers.SGD(0.1, **EMA), "sparse_categorical_crossentropy")
    steps = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(np.asarray(self.model.trainable_variables[0]).copy())

    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[ek.KeepSparsity("hidden"), Record()])
    average = steps[0]
    for step in steps[1:]:
        average = 0.8 * average + 0.2 * step
    np.testing.assert_allclose(np.asarray(model.trainable_variables[0]), average, atol=1e-6)
    assert (average[~mask] == 0).all()


def test_what_was_put_back_from_before_the_masks_is_said():
    model = net()
    model.compile("adam", "sparse_categorical_crossentropy")
    callbacks = [ek.GradualPruning(0.5, ek.schedules.OneShot()), PutBack("end", "model")]
    with pytest.warns(UserWarning, match="GradualPruning: another callback has put weights back"):
        model.fit(X, Y, batch_size=8, verbose=0, callbacks=callbacks)


def test_an_interrupted_fit_holds_nothing_back():
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = net()
    dense = model.get_weights()
    model.compile(adam(**EMA), "sparse_categorical_crossentropy")
    with pytest.raises(KeyboardInterrupt):
        model.fit(
            X,
            Y,
            verbose=0,
            callbacks=[ek.GradualPruning(0.5, ek.schedules.Constant()), Interrupt()],
        )
    model.set_weights(dense)
    for now, before in zip(model.get_weights(), dense, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("callback", [ek.GradualPruning(0.5), ek.WeightClustering(4)])
def test_weights_that_became_nan_are_told(callback):
    model = net()
    model.compile(keras.optimizers.SGD(1e30), "sparse_categorical_crossentropy")
    with pytest.warns(UserWarning, match="diverged, hidden/kernel, hidden/bias.*smaller learning"):
        model.fit(1e10 * X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
