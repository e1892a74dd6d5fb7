import keras
import numpy as np
import pytest
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


def test_several_steps_per_execution(cnn, data):
    fit(compiled(cnn, steps_per_execution=3), data, ek.GradualPruning(0.5))
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


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sparsity": 80}, r"from 0 to below 1. Received: 80; did you mean 0.8\?"),
        ({"sparsity": 1.0}, "from 0 to below 1"),
        ({"sparsity": -0.1}, "from 0 to below 1"),
        ({"sparsity": 0.5, "scope": "model"}, "'layer', 'erk' or 'global'"),
        ({"sparsity": {"a": 0.5}, "scope": "global"}, "takes one sparsity"),
        ({"sparsity": {"a": 0.5}, "layers": "b"}, "leave `layers` out"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        ek.GradualPruning(**arguments)


def test_wrong_type():
    with pytest.raises(TypeError, match="`sparsity` must be a number"):
        ek.GradualPruning("0.5")
    with pytest.raises(TypeError, match="`schedule` must be an ek.schedules object"):
        ek.GradualPruning(0.5, 0.5)


def test_a_selection_without_a_match_stops_before_the_first_step(cnn, data):
    with pytest.raises(ValueError, match="matches no layer"):
        fit(compiled(cnn), data, ek.GradualPruning(0.5, layers="nothing"))
