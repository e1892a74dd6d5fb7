import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.core.kernel_axes import kernel_axes
from edgekit.pruning.criteria import as_criterion
from edgekit.pruning.granularities import as_granularity
from edgekit.pruning.pruned_kernel import PrunedKernel


def kernel_of(layer, number=0):
    return PrunedKernel(layer, layer.kernel, kernel_axes(layer, layer.kernel), 0.5, number)


@pytest.fixture
def dense():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, name="d")])
    return model.layers[0]


def scores(name, kernel, weights, observed=None):
    return as_criterion(name).scores(kernel, weights, observed)


def test_sizes(dense):
    weights = np.float32([[-3, 2]])
    assert scores("magnitude", kernel_of(dense), weights).tolist() == [[3, 2]]
    assert scores("l2", kernel_of(dense), weights).tolist() == [[9, 4]]


def test_chance_is_the_same_at_each_update_and_another_in_each_kernel(dense):
    weights = np.ones((5, 5))
    first = scores("random", kernel_of(dense), weights)
    np.testing.assert_array_equal(first, scores("random", kernel_of(dense), weights))
    assert not np.array_equal(first, scores("random", kernel_of(dense, 1), weights))


def test_geometric_median_is_the_filter_nearest_to_all(dense):
    filters = np.float32([[0, 0], [10, 0], [0, 10], [3, 3]]).T  # inputs × outputs
    found = scores("geometric_median", kernel_of(dense), filters)
    assert found.shape == filters.shape
    distances = [sum(np.hypot(*(a - b)) for b in filters.T) for a in filters.T]
    np.testing.assert_allclose(found[0], distances, rtol=1e-6)
    assert found[0].argmin() == 3


def trained_with_sgd(criterion, policy="float32"):
    """A linear net whose gradients are known: `(weights seen, gradients, what was observed)`."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False, dtype=policy)])
    optimizer = keras.optimizers.SGD(0.1)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=256.0)
    model.compile(optimizer, "mse", run_eagerly=False)
    kernel = kernel_of(model.layers[0])
    watch = as_criterion(criterion).watch(model, [kernel], as_granularity("weight"))
    rng = np.random.default_rng(0)
    expected = np.zeros((3, 2))
    squares = np.zeros(3)
    for _ in range(3):
        x, y = rng.random((8, 3)).astype("float32"), rng.random((8, 2)).astype("float32")
        weights = np.asarray(kernel.variable, "float64")
        gradient = 2 * x.T @ (x @ weights - y) / y.size
        expected += {"movement": -weights * gradient, "taylor": (weights * gradient) ** 2}.get(
            criterion, 0
        )
        squares += (x**2).sum(axis=0)
        model.fit(x, y, batch_size=8, verbose=0)
    return model, kernel, watch, expected, squares


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("criterion", ["movement", "taylor"])
def test_gradients_are_summed_as_the_papers_say(criterion, policy):
    model, kernel, watch, expected, _ = trained_with_sgd(criterion, policy)
    (observed,) = watch.read()
    tolerance = 1e-4 if policy == "float32" else 2e-2
    np.testing.assert_allclose(observed, expected, rtol=tolerance, atol=tolerance / 100)
    found = scores(criterion, kernel, np.asarray(kernel.variable), observed)
    np.testing.assert_array_equal(found, observed)
    watch.release()
    model.make_train_function(force=True)
    model.fit(np.ones((8, 3)), np.ones((8, 2)), verbose=0)
    np.testing.assert_array_equal(watch.read()[0], observed)


def test_wanda_takes_the_norm_of_the_inputs():
    model, kernel, watch, _, squares = trained_with_sgd("wanda")
    (norms,) = watch.read()
    np.testing.assert_allclose(norms.ravel(), np.sqrt(squares), rtol=1e-5)
    weights = np.asarray(kernel.variable)
    np.testing.assert_allclose(
        scores("wanda", kernel, weights, norms), np.abs(weights) * np.sqrt(squares)[:, None], 1e-5
    )
    watch.release()
    assert "call" not in vars(model.layers[0])


def test_wanda_knows_groups_of_channels():
    """Each filter is judged by the channels of its own group."""
    model = keras.Sequential(
        [keras.Input((4, 4, 4)), layers.Conv2D(6, 1, groups=2), layers.Flatten(), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    x = np.ones((8, 4, 4, 4), "float32") * np.float32([1, 2, 3, 4])
    kernel = kernel_of(model.layers[0])
    watch = as_criterion("wanda").watch(model, [kernel], as_granularity("weight"))
    model.fit(x, np.ones((8, 1)), batch_size=8, verbose=0)
    (norms,) = watch.read()
    expected = np.sqrt(128) * np.float32([[1] * 3 + [3] * 3, [2] * 3 + [4] * 3])
    np.testing.assert_allclose(norms[0, 0], expected, rtol=1e-5)
    watch.write([norms * 2])
    np.testing.assert_allclose(watch.read()[0][0, 0], 2 * expected, rtol=1e-5)
    watch.release()


def test_wanda_does_not_guess_what_a_cell_reads():
    model = keras.Sequential([keras.Input((4, 3)), layers.LSTM(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"inputs of .*lstm_cell \(LSTMCell\)"):
        model.fit(
            np.ones((8, 4, 3)),
            np.ones((8, 2)),
            verbose=0,
            epochs=4,
            callbacks=[ek.GradualPruning(0.5, criterion="wanda")],
        )


def test_batchnorm_scale_takes_the_gamma_of_the_channel(cnn, data):
    gamma = np.float32([5, 1, 7, 2, 8, 3, 6, 4])
    cnn.get_layer("conv_bn").gamma.assign(gamma)
    once = ek.schedules.OneShot(at=0)
    x, y = data
    cnn.compile("sgd", "sparse_categorical_crossentropy")
    pruning = ek.GradualPruning(0.5, once, "filter", "batchnorm_scale", layers="^conv$")
    cnn.fit(x[:32], y[:32], verbose=0, callbacks=[pruning])
    kept = pruning.masks["conv/kernel"].any(axis=(0, 1, 2))
    assert kept.tolist() == (gamma > 4).tolist()


def test_batchnorm_scale_wants_one(cnn, data):
    x, y = data
    cnn.compile("sgd", "sparse_categorical_crossentropy")
    pruning = ek.GradualPruning(0.5, granularity="filter", criterion="batchnorm_scale")
    with pytest.raises(ValueError, match="no BatchNormalization with a gamma after pointwise"):
        cnn.fit(x, y, verbose=0, callbacks=[pruning])
    pruning = ek.GradualPruning(0.5, criterion="batchnorm_scale")
    with pytest.raises(ValueError, match="use granularity='filter' or 'channel'"):
        cnn.fit(x, y, verbose=0, callbacks=[pruning])


def test_a_function_scores(dense):
    assert scores(lambda w: w, kernel_of(dense), np.float32([[-1, 2]])).tolist() == [[-1, 2]]
    with pytest.raises(ValueError, match=r"an array of shape \(3, 4\). Received: shape \(\)"):
        scores(np.sum, kernel_of(dense), np.ones((3, 4)))
    with pytest.raises(ValueError, match="`criterion` gives NaN"):
        scores(lambda w: w * np.nan, kernel_of(dense), np.ones((3, 4)))


@pytest.mark.parametrize(
    ("value", "error"), [("size", ValueError), (3, TypeError), (ek.criteria.Taylor, TypeError)]
)
def test_unknown_criteria_are_refused(value, error):
    with pytest.raises(error, match="`criterion` must be one of 'magnitude'"):
        as_criterion(value)
