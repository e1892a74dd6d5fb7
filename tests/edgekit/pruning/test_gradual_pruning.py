import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek


def compiled(model, **options):
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", **options)
    return model


def zeros(layer):
    return float(np.mean(np.asarray(layer.kernel) == 0))


def fit(model, data, *callbacks, **options):
    x, y = data
    options = {"batch_size": 32, "epochs": 3, "verbose": 0, **options}
    return model.fit(x, y, callbacks=list(callbacks), **options)


def test_every_kernel_reaches_its_sparsity_exactly(cnn, data):
    history = fit(compiled(cnn), data, ek.GradualPruning(0.6))
    for name in ("conv", "pointwise", "classes"):
        kernel = np.asarray(cnn.get_layer(name).kernel)
        assert np.sum(kernel == 0) == round(0.6 * kernel.size)
    assert zeros(cnn.get_layer("depthwise")) == 0
    sparsity = history.history["sparsity"]
    assert sparsity == sorted(sparsity)
    assert sparsity[0] < sparsity[-1] == pytest.approx(0.6, abs=0.01)


def test_global_scope_is_exact_over_all_kernels(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.5, scope="global"))
    kernels = [np.asarray(cnn.get_layer(n).kernel) for n in ("conv", "pointwise", "classes")]
    size = sum(k.size for k in kernels)
    assert sum(np.sum(k == 0) for k in kernels) == round(0.5 * size)


def test_sparsity_per_layer(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning({"^conv$": 0.25, "classes": 0.75}))
    assert zeros(cnn.get_layer("conv")) == 0.25
    assert zeros(cnn.get_layer("classes")) == 0.75
    assert zeros(cnn.get_layer("pointwise")) == 0


def test_one_step_fit_prunes(cnn, data):
    """TFMOT prunes nothing below 100 steps and says nothing (its fault 9)."""
    x, y = data
    fit(compiled(cnn), (x[:32], y[:32]), ek.GradualPruning(0.5), epochs=1)
    assert zeros(cnn.get_layer("conv")) == 0.5


def test_weights_are_sparse_after_every_batch_and_every_checkpoint(cnn, data, tmp_path):
    """TFMOT's checkpoints may hold no zero at all (its fault 10)."""
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(zeros(self.model.get_layer("conv")))

    once = ek.schedules.Polynomial(begin=0, end=0, every=1)
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    # The checkpoint stands before the pruning: the order of callbacks must not matter.
    fit(compiled(cnn), data, checkpoint, Watch(), ek.GradualPruning(0.5, once))
    assert set(seen) == {0.5}
    for path in tmp_path.glob("*.keras"):
        assert zeros(keras.models.load_model(path).get_layer("conv")) == 0.5


def test_the_model_is_plain_keras_again(cnn, data):
    constraint = keras.constraints.MaxNorm(0.5)
    cnn.get_layer("conv").kernel.constraint = constraint
    fit(compiled(cnn), data, ek.GradualPruning(0.5))
    norms = np.linalg.norm(np.asarray(cnn.get_layer("conv").kernel), axis=0)
    assert norms.max() <= 0.5 + 1e-5  # the user's own constraint held as well
    assert cnn.get_layer("conv").kernel.constraint is constraint
    assert cnn.get_layer("classes").kernel.constraint is None
    fit(cnn, data, epochs=1)
    assert zeros(cnn.get_layer("classes")) < 0.5  # nothing holds the zeros any more


def test_a_second_fit_prunes_too(cnn, data):
    """The train step of the first fit is traced without masks and must not be used again."""
    compiled(cnn)
    fit(cnn, data, epochs=1)
    fit(cnn, data, ek.GradualPruning(0.5))
    assert zeros(cnn.get_layer("conv")) == pytest.approx(0.5, abs=0.003)


def test_batchnorm_and_dropout_still_train(cnn, data):
    """TFMOT's clustering freezes both (its fault 1); nothing of the kind happens here."""
    before = np.asarray(cnn.get_layer("conv_bn").moving_mean)
    fit(compiled(cnn), data, ek.GradualPruning(0.5))
    assert np.abs(np.asarray(cnn.get_layer("conv_bn").moving_mean) - before).max() > 1e-3


@pytest.mark.parametrize(
    "callback",
    [
        lambda: ek.GradualPruning(0.5, criterion="wanda"),
        lambda: ek.GradualPruning(0.5, criterion="movement"),
        lambda: ek.DynamicSparsity(0.5, "rigl", every=2, scope="layer"),
    ],
)
def test_what_watches_begins_a_later_epoch_at_its_second_step(cnn, data, callback):
    fit(compiled(cnn, steps_per_execution=2), data, callback(), epochs=4, initial_epoch=2)
    assert zeros(cnn.get_layer("conv")) == 0.5


@pytest.mark.parametrize("criterion", ["magnitude", "wanda", "taylor"])
def test_several_steps_per_execution(cnn, data, criterion):
    model = compiled(cnn, steps_per_execution=3)
    fit(model, data, ek.GradualPruning(0.5, criterion=criterion))
    assert zeros(cnn.get_layer("conv")) == 0.5


def test_subclassed_model_fed_by_a_generator():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.Sequential([layers.Dense(10, name="d")])
            self.head = layers.Dense(4)

        def call(self, x):
            return keras.ops.softmax(self.head(self.inner(x)))

    model = compiled(Net())
    model(np.zeros((1, 6), "float32"))
    rng = np.random.default_rng(0)

    def batches():
        for _ in range(12):
            yield rng.random((8, 6)).astype("float32"), rng.integers(0, 4, 8)

    schedule = ek.schedules.Polynomial(begin=0, end=8, every=2)
    model.fit(batches(), callbacks=[ek.GradualPruning(0.5, schedule)], verbose=0)
    assert np.mean(np.asarray(model.inner.layers[0].kernel) == 0) == 0.5


def test_fractions_of_a_fit_of_unknown_length_are_refused(cnn, data):
    x, y = data

    def batches():
        yield x, y

    with pytest.raises(ValueError, match="steps_per_epoch"):
        compiled(cnn).fit(batches(), callbacks=[ek.GradualPruning(0.5)], verbose=0)


def test_stopping_early_is_said(cnn, data):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    with pytest.warns(UserWarning, match="stopped after 1 steps, before the schedule's end"):
        fit(compiled(cnn), data, ek.GradualPruning(0.5), Stop())


def test_interrupted_fit_can_be_started_again_with_the_same_callback(cnn, data):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    pruning = ek.GradualPruning(0.5)
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(cnn), data, pruning, Interrupt())
    fit(cnn, data, ek.GradualPruning(0.25))  # another one: what the first left must not hold
    assert zeros(cnn.get_layer("conv")) == 0.25
    fit(cnn, data, pruning)
    assert zeros(cnn.get_layer("conv")) == 0.5
    assert cnn.get_layer("conv").kernel.constraint is None


def test_averaged_weights_are_sparse_too(cnn, data):
    """The optimizer puts its moving average in place when the fit ends."""
    adam = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)
    cnn.compile(adam, "sparse_categorical_crossentropy")
    fit(cnn, data, ek.GradualPruning(0.5))
    assert zeros(cnn.get_layer("conv")) == 0.5


def test_restored_weights_are_sparse_too(cnn, data):
    class Restore(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.weights = self.model.get_weights()

        def on_train_end(self, logs=None):
            self.model.set_weights(self.weights)

    fit(compiled(cnn), data, Restore(), ek.GradualPruning(0.5))
    assert zeros(cnn.get_layer("conv")) == 0.5


def test_numpy_numbers_are_numbers(cnn, data):
    schedule = ek.schedules.Polynomial(begin=np.int64(0), end=np.float32(0.5))
    fit(compiled(cnn), data, ek.GradualPruning(np.float32(0.5), schedule))
    assert zeros(cnn.get_layer("conv")) == 0.5


def once(share, **options):
    """Prunes at the first step."""
    return ek.GradualPruning(share, ek.schedules.Constant(), **options)


def kernel(model, name):
    return np.asarray(model.get_layer(name).kernel)


def test_a_pruned_filter_gives_nothing(cnn, data):
    """Its bias and its BatchNormalization go with it, so that it can be removed for good."""
    x, _ = data
    pruning = ek.GradualPruning(0.5, granularity="filter")
    fit(compiled(cnn), data, pruning)
    for name, after in (("conv", "conv_bn"), ("pointwise", "pointwise")):
        gone = ~kernel(cnn, name).any(axis=(0, 1, 2))
        assert gone.sum() == 4
        assert np.array_equal(gone, ~pruning.masks[f"{name}/kernel"].any(axis=(0, 1, 2)))
        outputs = keras.Model(cnn.input, cnn.get_layer(after).output).predict(x, verbose=0)
        assert not outputs[..., gone].any()
        assert outputs[..., ~gone].any(axis=(0, 1, 2)).all()
    assert zeros(cnn.get_layer("classes")) == 0  # the classes are no filters to spare
    fit(cnn, data, ek.KeepSparsity())
    assert not np.asarray(cnn.get_layer("conv_bn").beta)[~kernel(cnn, "conv").any((0, 1, 2))].any()


def test_channels_of_the_image_stay(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.5, granularity="channel"))
    assert zeros(cnn.get_layer("conv")) == 0
    gone = ~kernel(cnn, "pointwise").any(axis=(0, 1, 3))
    assert gone.sum() == 4


def test_named_ends_are_pruned(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.5, granularity="filter", layers="classes"))
    assert (~kernel(cnn, "classes").any(axis=0)).sum() == 2


def test_a_pattern_is_reached_on_a_schedule(cnn, data):
    levels = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            levels.append(zeros(self.model.get_layer("pointwise")))

    fit(compiled(cnn), data, ek.GradualPruning(granularity=(2, 4)), Watch())
    assert levels == sorted(levels)
    assert len(set(levels)) > 4
    for name, shape in (("pointwise", (2, 4, 8)), ("classes", (2, 4, 4))):
        groups = kernel(cnn, name).reshape(shape)
        assert ((groups != 0).sum(axis=1) == 2).all()
    assert ((kernel(cnn, "conv") != 0).sum(axis=2) == 2).all()  # of its three inputs


def test_more_than_a_pattern(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.75, granularity=(2, 4)))
    groups = kernel(cnn, "pointwise").reshape(2, 4, 8)
    assert ((groups != 0).sum(axis=1) <= 2).all()
    assert zeros(cnn.get_layer("pointwise")) == 0.75


def test_erk_gives_large_kernels_more(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.5, scope="erk"))
    kernels = [kernel(cnn, name) for name in ("conv", "pointwise", "classes")]
    assert sum(np.sum(k == 0) for k in kernels) == round(0.5 * sum(k.size for k in kernels))
    assert np.mean(kernels[0] == 0) > 0.5 > np.mean(kernels[2] == 0)


def test_global_filters_leave_one_in_each_layer(cnn, data):
    conv = cnn.get_layer("conv").kernel
    conv.assign(np.asarray(conv) * 1e-3)
    fit(compiled(cnn), data, once(0.9, granularity="filter", scope="global"), epochs=1)
    for name in ("conv", "pointwise"):
        assert kernel(cnn, name).any(axis=(0, 1, 2)).sum() >= 1


def test_whole_layers_go(cnn, data):
    conv = cnn.get_layer("pointwise").kernel
    conv.assign(np.asarray(conv) * 1e-3)
    once_at_all = once(0.2, granularity="layer", scope="global", layers=["conv$", "point", "class"])
    fit(compiled(cnn), data, once_at_all, epochs=1)
    assert [zeros(cnn.get_layer(n)) for n in ("conv", "pointwise", "classes")] == [0, 1, 0]


def test_protected_layers_stay(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.5, protect=["^conv", "classes"]))
    assert [zeros(cnn.get_layer(n)) for n in ("conv", "pointwise", "classes")] == [0, 0.5, 0]
    with pytest.raises(ValueError, match="nothing is left to prune: all layers with a kernel"):
        fit(cnn, data, ek.GradualPruning(0.5, protect=lambda layer: True))
    with pytest.raises(ValueError, match="`protect` holds 'nothing', which matches no layer"):
        fit(cnn, data, ek.GradualPruning(0.5, protect="nothing"))
    cnn.get_layer("conv").trainable = False
    with pytest.raises(ValueError, match=r"matches no layer.*Frozen, and so left out: conv$"):
        fit(compiled(cnn), data, ek.GradualPruning(0.5, layers="^conv$"))


def test_dense_sparse_dense_ends_dense(cnn, data):
    pruning = ek.GradualPruning(0.5, ek.schedules.DenseSparseDense())
    history = fit(compiled(cnn), data, pruning)
    assert history.history["sparsity"][1] == pytest.approx(0.5, abs=0.01)
    assert history.history["sparsity"][-1] < 0.01
    assert all(mask.all() for mask in pruning.masks.values())


@pytest.mark.parametrize("criterion", ["random", "taylor", "movement", "wanda"])
def test_what_is_gone_stays_gone(cnn, data, criterion):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(pruning.masks["conv/kernel"])

    pruning = ek.GradualPruning(0.6, criterion=criterion)
    fit(compiled(cnn), data, pruning, Watch())
    assert all(not (later & ~earlier).any() for earlier, later in zip(seen, seen[1:], strict=False))
    assert np.sum(~seen[-1]) == round(0.6 * seen[-1].size)


def test_sparsity_is_in_the_logs_of_each_batch(cnn, data):
    live = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            live.append((logs["sparsity"], zeros(self.model.get_layer("conv"))))

    fit(compiled(cnn), data, ek.GradualPruning(0.5), Watch())
    np.testing.assert_allclose(*zip(*live, strict=True), atol=0.02)


def test_half_precision_and_a_model_in_a_model(data):
    x, y = data
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="inner"), layers.Flatten()]
    )
    model = keras.Sequential([inner, layers.Dense(4, dtype="float32", name="head")])
    for layer in inner.layers:
        layer.dtype_policy = "mixed_float16"
    model.build((None, 8, 8, 3))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, data, ek.GradualPruning(0.5, criterion="taylor"))
    assert zeros(inner.get_layer("inner")) == zeros(model.get_layer("head")) == 0.5


def test_while_quantisation_aware(trained, data):
    """Pruning and rounding at once: the zeros are zeros of the int8 file."""
    qat = ek.quantize_aware(trained)
    qat.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    fit(qat, data, ek.GradualPruning(0.5))
    plain = ek.strip(qat)
    assert zeros(plain.get_layer("conv")) == zeros(plain.get_layer("pointwise")) == 0.5
    weights = {w.shape: w for w in ek.inspect(ek.convert(qat, ["int8"])["int8"]).weights}
    assert weights[8, 3, 3, 3].sparsity >= 0.5
    assert weights[8, 1, 1, 8].sparsity >= 0.5


def test_plots(cnn, data, tmp_path):
    pruning = ek.GradualPruning(0.5)
    with pytest.raises(ValueError, match="no fit with this callback has begun"):
        pruning.plot()
    fit(compiled(cnn), data, pruning)
    figure = pruning.plot(tmp_path / "layers.png")
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == [
        "conv/kernel",
        "pointwise/kernel",
        "classes/kernel",
    ]
    assert axes.lines[0].get_ydata()[-1] == 0.5
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_criteria_that_need_steps_cannot_judge_before_the_first(cnn, data):
    with pytest.raises(ValueError, match="Movement judges weights by the steps trained so far"):
        fit(compiled(cnn), data, once(0.5, criterion="movement"))
    assert "apply" not in vars(cnn.optimizer)


def test_whole_groups_that_come_no_nearer_are_said(cnn, data):
    tiles = ek.granularities.Block(100, 100)
    with pytest.warns(UserWarning, match="sparsity is 0.0%, not 50.0%: whole groups come no near"):
        fit(compiled(cnn), data, ek.GradualPruning(0.5, granularity=tiles, layers="classes"))


def test_the_last_weight_of_a_kernel_stays(cnn, data):
    fit(compiled(cnn), data, ek.GradualPruning(0.999))
    assert np.count_nonzero(kernel(cnn, "classes")) == 1


def test_recurrent_units_are_no_filters():
    model = keras.Sequential([keras.Input((4, 3)), layers.LSTM(4), layers.Dense(2)])
    model.compile("sgd", "mse")
    pruning = ek.GradualPruning(0.5, granularity="filter")
    with pytest.raises(ValueError, match=r"does not know the units of .*lstm_cell \(LSTMCell\)"):
        model.fit(np.ones((8, 4, 3)), np.ones((8, 2)), verbose=0, callbacks=[pruning])


def test_filters_of_a_quantisation_aware_model_are_zero_too(trained, data):
    qat = ek.quantize_aware(trained)
    qat.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    fit(qat, data, ek.GradualPruning(0.5, granularity="filter"), epochs=1)
    plain = ek.strip(qat)
    gone = ~kernel(plain, "conv").any(axis=(0, 1, 2))
    assert gone.sum() == 4
    assert not np.asarray(plain.get_layer("conv_bn").beta)[gone].any()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sparsity": 80}, r"from 0 to below 1. Received: 80; did you mean 0.8\?"),
        ({"sparsity": 1.0}, "from 0 to below 1"),
        ({"sparsity": -0.1}, "from 0 to below 1"),
        ({"sparsity": 0.5, "scope": "model"}, "'layer', 'erk' or 'global'"),
        ({"sparsity": {"a": 0.5}, "scope": "global"}, "takes one sparsity"),
        ({"sparsity": {"a": 0.5}, "layers": "b"}, "leave `layers` out"),
        ({"sparsity": 0.3, "granularity": (2, 4)}, "a pattern of 2:4 makes 0.5 of the weights"),
        ({"granularity": (2, 4), "scope": "global"}, "holds in every kernel"),
        ({"sparsity": 0.5, "granularity": "layer"}, "use scope='global'"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        ek.GradualPruning(**arguments)


def test_wrong_type():
    with pytest.raises(TypeError, match="`sparsity` must be a number"):
        ek.GradualPruning("0.5")
    with pytest.raises(TypeError, match="`sparsity` is missing"):
        ek.GradualPruning()
    for schedule in (0.5, ek.schedules.OneShot):
        with pytest.raises(TypeError, match="`schedule` must be an ek.schedules object"):
            ek.GradualPruning(0.5, schedule)


def test_a_selection_without_a_match_stops_before_the_first_step(cnn, data):
    with pytest.raises(ValueError, match="matches no layer"):
        fit(compiled(cnn), data, ek.GradualPruning(0.5, layers="nothing"))


class Sparsities(keras.callbacks.Callback):
    """The sparsity after each step."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.seen, self.stop_after = [], stop_after

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(round(logs["sparsity"], 2))

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.stop_after


def small_net():
    layer = layers.Dense(2, activation="softmax")
    model = keras.Sequential([keras.Input((6,)), layers.Dense(32, name="d"), layer])
    return compiled(model)


def small_data(known):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((x, (x[:, 0] > 0).astype("int32"))).batch(8)
    if known:
        return batches
    return tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=batches.element_spec
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.filterwarnings("ignore:.*the fit stopped after 24 steps")
def test_a_fit_that_begins_later_goes_on_where_the_schedule_was(known):
    model, batches = small_net(), small_data(known)
    schedule = ek.schedules.Polynomial(0, 40, every=1)
    first, second = Sparsities(stop_after=2), Sparsities()
    model.fit(batches, epochs=6, verbose=0, callbacks=[ek.GradualPruning(0.8, schedule), first])
    assert first.seen[-1] == 0.74
    model.fit(
        batches,
        epochs=6,
        initial_epoch=3,
        verbose=0,
        callbacks=[ek.GradualPruning(0.8, schedule), second],
    )
    # Of data that do not say how many they are: what is there, until an epoch is over.
    assert min(second.seen) >= 0.74
    assert second.seen[-1] == 0.8
    expected = [round(0.8 - 0.8 * (1 - min(1, step / 40)) ** 3, 2) for step in range(32, 48)]
    np.testing.assert_allclose(second.seen[8:], expected, atol=0.011)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_sparse_model_starts_from_what_is_there(scope):
    model, batches = small_net(), small_data(True)
    model.fit(batches, epochs=2, verbose=0, callbacks=[ek.GradualPruning(0.7, scope=scope)])
    first = {v.path: np.asarray(v) != 0 for v in model.trainable_variables if v.name == "kernel"}
    watch, pruning = Sparsities(), ek.GradualPruning(0.9, scope=scope)
    model.fit(batches, epochs=2, verbose=0, callbacks=[pruning, watch])
    assert watch.seen[0] >= 0.7
    assert watch.seen == sorted(watch.seen)
    assert watch.seen[-1] == 0.9
    assert all(not (mask & ~first[path]).any() for path, mask in pruning.masks.items())


def test_less_sparsity_than_is_there_is_what_was_asked_for():
    model, batches = small_net(), small_data(True)
    model.fit(batches, epochs=2, verbose=0, callbacks=[ek.GradualPruning(0.8)])
    watch = Sparsities()
    model.fit(batches, epochs=2, verbose=0, callbacks=[ek.GradualPruning(0.5), watch])
    assert set(watch.seen) == {0.5}


def test_a_layer_that_begins_at_zero_is_not_taken_for_pruned():
    new = layers.Dense(4, activation="softmax", kernel_initializer="zeros")
    model = compiled(keras.Sequential([keras.Input((6,)), new]))
    watch = Sparsities()
    schedule = ek.schedules.Polynomial(begin=4)
    batches = small_data(True)
    model.fit(batches, epochs=2, verbose=0, callbacks=[ek.GradualPruning(0.5, schedule), watch])
    assert watch.seen[:4] == [0, 0, 0, 0]
    assert np.mean(np.asarray(new.kernel) == 0) == 0.5


@pytest.mark.parametrize("where", ["validation", "evaluate", "predict"])
def test_wanda_counts_train_steps_only(where):
    """The last feature is large outside of training alone."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 8)).astype("float32"), np.zeros((32, 4))
    other = rng.normal(size=(32, 8)).astype("float32")
    x[:, 0] *= 100
    other[:, 7] *= 1e6

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if where == "evaluate":
                self.model.evaluate(other, y, verbose=0)
            else:
                self.model.predict(other, verbose=0)

    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="d")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.predict(other, verbose=0)  # traced before the fit
    pruning = ek.GradualPruning(0.875, ek.schedules.OneShot(at=0.5), criterion="wanda")
    options = {"validation_data": (other, y)} if where == "validation" else {}
    callbacks = [pruning] if options else [pruning, Look()]
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks, **options)
    (mask,) = pruning.masks.values()
    assert mask.sum(axis=1).tolist() == [4, 0, 0, 0, 0, 0, 0, 0]
    assert not {"train_step", "_edgekit_watched_steps"} & set(vars(model))


def test_the_last_update_between_the_steps_that_callbacks_see_is_made(cnn, data):
    fit(compiled(cnn, steps_per_execution=4), data, ek.GradualPruning(0.5), epochs=1)
    assert zeros(cnn.get_layer("conv")) == 0.5
