import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek


def trainer(model, optimizer, compiled=True):
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.losses.mean_squared_error(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return tf.function(step) if compiled else step


@pytest.fixture
def model():
    class Net(keras.Model):
        def __init__(self):
            super().__init__(name="net")
            self.inner = layers.Dense(10, name="inner")
            self.head = layers.Dense(4, name="head")

        def call(self, x):
            return self.head(keras.ops.relu(self.inner(x)))

    net = Net()
    net(np.zeros((1, 6), "float32"))
    return net


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    return [(rng.random((8, 6), "float32"), rng.random((8, 4), "float32")) for _ in range(10)]


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_prunes_in_a_loop_of_ones_own(model, batches, criterion, graph):
    optimizer = keras.optimizers.Adam(0.01)
    step = trainer(model, optimizer, graph)
    pruning = ek.GradualPruning(0.5, criterion=criterion)
    levels = []
    with ek.custom_loop(model, [pruning], epochs=2, steps=10, optimizer=optimizer) as loop:
        for _ in range(2):
            for x, y in loop(batches):
                step(x, y)
                levels.append(np.mean(np.asarray(model.inner.kernel) == 0))
    assert levels == sorted(levels)
    assert levels[0] < 0.2 < levels[-1] == 0.5
    assert model.inner.kernel.constraint is None
    assert "apply" not in vars(optimizer)
    assert getattr(model, "optimizer", None) is None


def test_a_step_traced_before_the_loop_is_noticed(model, batches):
    step = trainer(model, keras.optimizers.Adam(0.01))
    step(*batches[0])

    def loop_over():
        with ek.custom_loop(model, ek.GradualPruning(0.5), steps=10) as loop:
            for x, y in loop(batches):
                step(x, y)

    with pytest.raises(ValueError, match="the masks do not hold"):
        loop_over()
    assert model.inner.kernel.constraint is None


def test_another_optimizer_than_the_models_is_noticed(model, batches):
    model.compile("adam", "mse")
    step = trainer(model, keras.optimizers.Adam(0.01))

    def loop_over():
        with ek.custom_loop(model, ek.GradualPruning(0.5, criterion="taylor"), steps=10) as loop:
            for x, y in loop(batches):
                step(x, y)

    with pytest.raises(ValueError, match="no gradients have been seen"):
        loop_over()


@pytest.mark.parametrize(
    ("options", "match"), [({"steps": "4"}, "`steps` must be"), ({"epochs": 0}, "`epochs` must")]
)
def test_bad_numbers(model, options, match):
    with pytest.raises(ValueError, match=match), ek.custom_loop(model, [], **options):
        pass


def test_other_callbacks_work_too(model, batches):
    optimizer = keras.optimizers.SGD(0.1)
    kernel = model.inner.kernel
    kernel.assign(np.asarray(kernel) * (np.arange(10) % 2))
    step = trainer(model, optimizer)
    with ek.custom_loop(model, [ek.KeepSparsity()]) as loop:
        for x, y in loop(batches):
            step(x, y)
    assert np.mean(np.asarray(kernel) == 0) == 0.5


def test_no_more_than_steps_are_taken(model, batches):
    with ek.custom_loop(model, [], steps=4) as loop:
        assert len(list(loop(batches))) == 4


def test_an_error_in_the_loop_leaves_a_plain_model(model, batches):
    def interrupted():
        with ek.custom_loop(model, [ek.GradualPruning(0.5)], steps=10) as loop:
            for _ in loop(batches):
                raise KeyError

    with pytest.warns(UserWarning, match="stopped after 0 steps"), pytest.raises(KeyError):
        interrupted()
    assert model.inner.kernel.constraint is None


def test_gradients_need_an_optimizer(model):
    pruning = ek.GradualPruning(0.5, criterion="taylor")
    with (
        pytest.raises(ValueError, match="pass `optimizer` to ek.custom_loop"),
        ek.custom_loop(model, [pruning], steps=10),
    ):
        pass


def test_an_unbuilt_model_is_refused():
    with (
        pytest.raises(ValueError, match="has no weights yet"),
        ek.custom_loop(keras.Sequential([layers.Dense(2)]), []),
    ):
        pass
