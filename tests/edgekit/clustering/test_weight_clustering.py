import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek
from tests.conftest import make_cnn


def compiled(model, optimizer=None):
    optimizer = optimizer or keras.optimizers.Adam(0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def fit(model, data, *callbacks, **options):
    x, y = data
    options = {"batch_size": 32, "epochs": 3, "verbose": 0, **options}
    return model.fit(x, y, callbacks=list(callbacks), **options)


def train_step(model):
    """A step of one's own, compiled at its first call."""
    optimizer = keras.optimizers.Adam(0.01)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            scores = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, scores))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return step


def values_of(model, name):
    return np.unique(np.asarray(model.get_layer(name).kernel))


def test_every_kernel_has_so_many_values_and_they_train(cnn, data):
    before = np.asarray(cnn.get_layer("conv").kernel)
    clustering = ek.WeightClustering(8)
    fit(compiled(cnn), data, clustering)
    for name in ("conv", "pointwise", "classes"):
        assert len(values_of(cnn, name)) == 8
    assert len(values_of(cnn, "depthwise")) == 72
    from edgekit.clustering.clusters import cluster

    start = cluster(before, 8)
    np.testing.assert_array_equal(clustering.indices["conv/kernel"], start.indices)
    assert np.abs(clustering.codebooks["conv/kernel"] - start.codebook).min() > 0
    assert cnn.get_layer("conv").kernel.constraint is None


@pytest.mark.parametrize("gradient", ["mean", "sum"])
def test_a_step_is_that_of_the_formula(gradient):
    """Han et al. 2015, section 3.3, in NumPy; the mean divides by the number of members."""
    rng = np.random.default_rng(0)
    image = keras.Input((3,))
    model = keras.Model(image, layers.Dense(4, use_bias=False, name="dense")(image))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    kernel = model.get_layer("dense").kernel
    indices = rng.integers(0, 3, (3, 4))
    codebook = np.array([-1.0, 0.5, 2.0])
    kernel.assign(codebook[indices])
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 4))
    callback = ek.WeightClustering(3, gradient=gradient)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[callback])
    gradients = 2 * x.T @ (x @ codebook[indices] - y) / y.size
    for number in range(3):
        combined = getattr(np, gradient)(gradients[indices == number])
        expected = codebook[number] - 0.1 * combined
        np.testing.assert_allclose(np.asarray(kernel)[indices == number], expected, rtol=1e-5)


def test_values_do_not_drift_while_nothing_trains():
    """Sums of many equal float32 do: a million of 0.1 are 100,958."""
    image = keras.Input((500,))
    model = keras.Model(image, layers.Dense(400, use_bias=False, name="dense")(image))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    kernel = model.get_layer("dense").kernel
    kernel.assign(np.where(np.arange(200_000).reshape(500, 400) % 3, 0.1, -0.7))
    before = np.asarray(kernel)
    x = np.zeros((64, 500), "float32")
    model.fit(x, x[:, :400], verbose=0, epochs=20, callbacks=[ek.WeightClustering(2)])
    np.testing.assert_array_equal(np.asarray(kernel), before)


def test_odd_sizes_and_many_values(data):
    """Values are looked up several at a time: sizes that this does not divide, counts it cannot."""
    for count, units in ((3, 7), (300, 23)):
        model = keras.Sequential([keras.Input((5, 13)), layers.Dense(units, name="dense")])
        model.compile("adam", "mse")
        x = np.random.default_rng(0).standard_normal((4, 5, 13)).astype("float32")
        y = np.zeros((4, 5, units), "float32")
        model.fit(x, y, verbose=0, epochs=2, callbacks=[ek.WeightClustering(count)])
        assert len(values_of(model, "dense")) == min(count, 13 * units)


def test_every_checkpoint_is_clustered(cnn, data, tmp_path):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(len(values_of(self.model, "pointwise")))

    saving = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    fit(compiled(cnn), data, saving, Watch(), ek.WeightClustering(4))
    assert set(seen) == {4}
    for epoch in (1, 2, 3):
        stored = keras.models.load_model(tmp_path / f"{epoch}.keras")
        assert len(values_of(stored, "pointwise")) == 4


def test_batchnorm_and_dropout_train_as_ever(cnn, data):
    """TFMOT's wrapper freezes the one and turns the other off (its fault 1)."""
    before = np.asarray(cnn.get_layer("conv_bn").moving_mean)
    fit(compiled(cnn), data, ek.WeightClustering(8))
    assert np.abs(np.asarray(cnn.get_layer("conv_bn").moving_mean) - before).min() > 0


def test_zeros_of_a_pruned_model_stay(cnn, data):
    model = compiled(cnn)
    fit(model, data, ek.GradualPruning(0.75))
    zero = np.asarray(model.get_layer("pointwise").kernel) == 0
    fit(model, data, ek.WeightClustering(5))
    kernel = np.asarray(model.get_layer("pointwise").kernel)
    assert (kernel[zero] == 0).all()
    assert len(np.unique(kernel)) == 5
    fit(model, data, ek.WeightClustering(4, keep_zeros=False, refresh=2))
    assert not (np.asarray(model.get_layer("pointwise").kernel)[zero] == 0).all()


def test_counts_per_layer_and_bits(cnn, data):
    fit(compiled(cnn), data, ek.WeightClustering({"^conv$": 3, "depthwise$": 7}))
    assert len(values_of(cnn, "conv")) == 3
    assert len(values_of(cnn, "depthwise")) == 7
    assert len(values_of(cnn, "pointwise")) == 64
    fit(compiled(cnn), data, ek.WeightClustering(bits=2, layers="pointwise"))
    assert len(values_of(cnn, "pointwise")) == 4


@pytest.mark.parametrize("init", ["linear", "density", "random", "kmeans++"])
def test_the_same_seed_gives_the_same_bits(data, init):
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        model = compiled(make_cnn())
        fit(model, data, ek.WeightClustering(6, init=init, seed=3), shuffle=False)
        found.append(np.asarray(model.get_layer("conv").kernel))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("granularity", ["channel", 2, 100])
def test_channels_have_codebooks_of_their_own(cnn, data, granularity):
    fit(compiled(cnn), data, ek.WeightClustering(3, granularity=granularity, layers="^conv$"))
    kernel = np.asarray(cnn.get_layer("conv").kernel)  # 3×3×3×8
    together = {"channel": 1, 2: 2, 100: 8}[granularity]
    for first in range(0, 8, together):
        assert len(np.unique(kernel[..., first : first + together])) == 3
    assert len(np.unique(kernel)) == 3 * 8 // together


def test_binary_and_ternary_stay_mirrored(cnn, data):
    fit(compiled(cnn), data, ek.WeightClustering({"^conv$": "binary", "pointwise": "ternary"}))
    low, high = values_of(cnn, "conv")
    assert low == -high
    low, middle, high = values_of(cnn, "pointwise")
    assert (low, middle) == (-high, 0)


def test_refreshing_moves_weights_to_other_values(data):
    found = {}
    for refresh in (None, 2):
        keras.utils.set_random_seed(0)
        model = compiled(make_cnn(), keras.optimizers.Adam(0.03))
        callback = ek.WeightClustering(6, refresh=refresh)
        history = fit(model, data, callback, epochs=8)
        found[refresh] = callback.indices["pointwise/kernel"]
        assert len(values_of(model, "pointwise")) <= 6
        assert history.history["loss"][-1] < history.history["loss"][0]
    assert (found[None] != found[2]).any()


def test_a_refresh_comes_due_between_the_steps_that_callbacks_see(data):
    found = {}
    for refresh in (None, 5):  # callbacks see steps 0, 4 and 8 of twelve
        keras.utils.set_random_seed(0)
        model = make_cnn()
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(0.1), loss, steps_per_execution=4)
        callback = ek.WeightClustering(6, refresh=refresh)
        fit(model, data, callback)
        found[refresh] = callback.indices["pointwise/kernel"]
    assert (found[None] != found[5]).any()


@pytest.mark.parametrize("settings", [{"gradient": "sum"}, {"refresh": 4}])
def test_weights_written_between_epochs_are_no_step(cnn, data, settings):
    class Write(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kernel = self.model.get_layer("pointwise").kernel
            kernel.assign(np.asarray(kernel) + 1.0)

    callback = ek.WeightClustering(4, keep_zeros=False, **settings)
    before = np.abs(np.asarray(cnn.get_layer("pointwise").kernel)).max()
    fit(compiled(cnn, keras.optimizers.SGD(1e-6)), data, Write(), callback, epochs=2)
    assert np.abs(np.asarray(cnn.get_layer("pointwise").kernel)).max() < before + 2.01


def test_averages_that_hide_the_steps_are_refused(cnn, data):
    optimizer = keras.optimizers.SGD(1e-3, use_ema=True, ema_overwrite_frequency=2)
    model = compiled(cnn, optimizer)
    with pytest.raises(ValueError, match="ema_overwrite_frequency=2; leave it None"):
        fit(model, data, ek.WeightClustering(4, gradient="sum"))
    fit(model, data, ek.WeightClustering(4))
    assert len(values_of(cnn, "conv")) == 4


def test_clustering_may_begin_later(cnn, data):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(len(values_of(self.model, "conv")))

    fit(compiled(cnn), data, ek.WeightClustering(4, begin=0.5), Watch(), epochs=2)
    assert seen == [216] * 4 + [4] * 4


def test_bits_are_spent_where_they_count(cnn, data):
    model = compiled(cnn)
    fit(model, data, epochs=6)
    budgets = (150, 400)
    counts = []
    for budget in budgets:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        fit(compiled(copy), data, ek.WeightClustering(bits="auto", max_bytes=budget))
        counts.append([len(values_of(copy, n)) for n in ("conv", "pointwise", "classes")])
    assert sum(counts[0]) < sum(counts[1])
    assert len(set(counts[1])) > 1
    again = ek.WeightClustering(bits="auto", max_bytes=budgets[1])
    fit(copy, data, again, epochs=2, initial_epoch=1)
    assert [len(values_of(copy, n)) for n in ("conv", "pointwise", "classes")] == counts[1]


def test_a_second_fit_goes_on_where_the_first_ended(cnn, data):
    first = ek.WeightClustering(6)
    fit(compiled(cnn), data, first)
    second = ek.WeightClustering(6)
    fit(cnn, data, second, epochs=1)
    for path, indices in first.indices.items():
        np.testing.assert_array_equal(second.indices[path], indices)


def test_an_interrupted_fit_leaves_nothing(cnn, data):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = compiled(cnn)
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, ek.WeightClustering(4), Interrupt())
    fit(model, data, epochs=1)
    assert len(values_of(model, "conv")) == 216


def test_a_subclassed_model_and_a_custom_constraint(data):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.flatten = layers.Flatten()
            limit = keras.constraints.MaxNorm(0.5)
            self.dense = layers.Dense(4, activation="softmax", kernel_constraint=limit)

        def call(self, inputs):
            return self.dense(self.flatten(inputs))

    net = Net()
    net(data[0][:1])
    fit(compiled(net), data, ek.WeightClustering(4))
    kernel = np.asarray(net.dense.kernel)
    assert len(np.unique(kernel)) == 4
    assert isinstance(net.dense.kernel.constraint, keras.constraints.MaxNorm)


def test_mixed_precision(data):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled(make_cnn())
    finally:
        keras.config.set_dtype_policy("float32")
    fit(model, data, ek.WeightClustering(8))
    assert len(values_of(model, "conv")) == 8


def test_a_custom_loop(cnn, data):
    x, y = data
    step = train_step(cnn)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    with ek.custom_loop(cnn, [ek.WeightClustering(8)], steps=4) as loop:
        for images, labels in loop(batches):
            step(images, labels)
    assert len(values_of(cnn, "conv")) == 8


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "give `clusters`"),
        ({"clusters": 4, "bits": 2}, TypeError, "give `clusters`"),
        ({"clusters": 1}, ValueError, "from 2 to 65536. Received: clusters=1"),
        ({"clusters": 2.5}, TypeError, "whole number, 'binary' or 'ternary'"),
        ({"clusters": "quaternary"}, TypeError, "clusters='quaternary'"),
        ({"clusters": {}}, ValueError, "empty dict"),
        ({"bits": 0}, ValueError, "from 1 to 16. Received: bits=0"),
        ({"bits": "auto"}, ValueError, "belong together"),
        ({"clusters": 4, "max_bytes": 100}, ValueError, "belong together"),
        ({"clusters": 4, "init": "forgy"}, ValueError, "linear, density, random, kmeans"),
        ({"clusters": 4, "gradient": "max"}, ValueError, "'mean' or 'sum'"),
        ({"clusters": 4, "granularity": 0}, ValueError, "granularity=0"),
        ({"clusters": 4, "refresh": 0}, ValueError, "refresh=0"),
        ({"clusters": 4, "begin": 1.5}, ValueError, "begin=1.5"),
        ({"clusters": {"conv": 4}, "layers": "conv"}, ValueError, "leave `layers` out"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        ek.WeightClustering(**arguments)


def test_bad_fits_are_refused_before_the_first_step(cnn, data):
    model = compiled(cnn)
    with pytest.raises(ValueError, match="clusters` holds 'nothing', which matches no layer"):
        fit(model, data, ek.WeightClustering({"nothing": 4}))
    with pytest.raises(ValueError, match="only 12 steps"):
        fit(model, data, ek.WeightClustering(4, begin=50))
    with pytest.raises(ValueError, match="`max_bytes` must be at least"):
        fit(model, data, ek.WeightClustering(bits="auto", max_bytes=10))
    automatic = {"bits": "auto", "max_bytes": 1000}
    for settings, match in (
        ({"clusters": 4, "refresh": 2}, "three quarters"),
        (automatic, "tenth"),
    ):
        with pytest.raises(ValueError, match=f"{match} of the fit, but the length .* unknown"):
            model.fit((b for b in [data]), callbacks=[ek.WeightClustering(**settings)])
    with pytest.raises(ValueError, match="nothing has been clustered"):
        _ = ek.WeightClustering(4).codebooks


@pytest.mark.parametrize("gradient", ["mean", "sum"])
def test_weights_put_back_at_the_end_are_clustered_as_they_are(cnn, data, gradient):
    """As EarlyStopping(restore_best_weights=True) and averaged weights are."""
    kept = {}

    class PutBack(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kept.setdefault("weights", self.model.get_weights())

        def on_train_end(self, logs=None):
            self.model.set_weights(kept["weights"])

    optimizer = keras.optimizers.SGD(1e-3)
    clustering = ek.WeightClustering(4, gradient=gradient)
    fit(compiled(cnn, optimizer), data, PutBack(), clustering)
    for now, before in zip(cnn.get_weights(), kept["weights"], strict=True):
        np.testing.assert_allclose(now, before, atol=1e-7)
    assert len(values_of(cnn, "conv")) == 4


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_large_kernels_are_looked_up_by_compiled_code(jit_compile, granularity):
    model = keras.Sequential([keras.Input((300,)), layers.Dense(200, name="dense")])
    model.compile("adam", "mse", jit_compile=jit_compile)
    x = np.random.default_rng(0).standard_normal((64, 300)).astype("float32")
    callback = ek.WeightClustering(16, granularity=granularity)
    model.fit(x, x[:, :200], verbose=0, epochs=2, callbacks=[callback])
    (codebook,), (indices,) = callback.codebooks.values(), callback.indices.values()
    np.testing.assert_array_equal(codebook[indices], np.asarray(model.get_layer("dense").kernel))
    assert len(np.unique(codebook)) == 16 * (200 if granularity == "channel" else 1)


def test_weights_that_come_in_when_the_fit_begins_are_the_ones_clustered(cnn, data):
    """As BackupAndRestore brings them, wherever it stands in the list."""

    class Restore(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            kernel = self.model.get_layer("pointwise").kernel
            kernel.assign(np.arange(64).reshape(kernel.shape) // 8)

    fit(compiled(cnn, keras.optimizers.SGD(0.0)), data, ek.WeightClustering(8), Restore())
    np.testing.assert_array_equal(values_of(cnn, "pointwise"), np.arange(8))


def test_a_step_traced_before_is_noticed(cnn, data):
    x, y = data
    step = train_step(cnn)
    step(x[:32], y[:32])
    batches = [(x[:32], y[:32])] * 3

    def train():
        with ek.custom_loop(cnn, [ek.WeightClustering(8)], steps=3) as loop:
            for images, labels in loop(batches):
                step(images, labels)

    with pytest.raises(ValueError, match="the clusters do not hold"):
        train()


def test_pruning_in_the_same_fit_is_refused(cnn, data):
    callbacks = [ek.WeightClustering(8), ek.GradualPruning(0.8, ek.schedules.Constant())]
    with pytest.raises(ValueError, match="cluster in a second fit"):
        fit(compiled(cnn), data, *callbacks)


def test_zeros_alone_and_nan_are_no_weights_to_cluster(cnn, data):
    kernel = cnn.get_layer("pointwise").kernel
    kernel.assign(np.zeros(kernel.shape))
    with pytest.warns(UserWarning, match="leaves pointwise/kernel alone: all weights are zero"):
        fit(compiled(cnn), data, ek.WeightClustering(4))
    assert len(values_of(cnn, "pointwise")) > 4
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(ValueError, match="'pointwise/kernel' holds NaN or infinite"):
        fit(cnn, data, ek.WeightClustering(4))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("settings", [{"begin": 6}, {"clusters": None, "bits": "auto"}])
def test_a_fit_that_begins_later_stays_clustered(cnn, data, known, settings):
    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    if not known:
        whole = batches
        batches = tf.data.Dataset.from_generator(
            lambda: iter(whole), output_signature=whole.element_spec
        )
    options = {"clusters": 4, "begin": 6, "layers": "pointwise", **settings}
    if "bits" in settings:
        options["max_bytes"] = 60
    make = functools.partial(ek.WeightClustering, **options)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(len(values_of(self.model, "pointwise")))

    cnn.compile("adam", "sparse_categorical_crossentropy")
    cnn.fit(batches, epochs=2, verbose=0, callbacks=[make(), Watch()])
    assert seen[:6] == [64] * 6
    assert max(seen[6:]) < 64
    seen.clear()
    cnn.fit(batches, epochs=4, initial_epoch=2, verbose=0, callbacks=[make(), Watch()])
    assert max(seen) < 64


def test_bits_of_a_fit_that_begins_later_are_chosen_by_gradients_of_its_own(cnn, data):
    callback = ek.WeightClustering(bits="auto", max_bytes=400)
    fit(compiled(cnn), data, callback, epochs=4, initial_epoch=2)
    assert len(values_of(cnn, "conv")) < 216
