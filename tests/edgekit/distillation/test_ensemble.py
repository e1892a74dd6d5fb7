import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.edgekit.distillation.conftest import LOSS, make_net

D = ek.distillation


def nets(count=3, activation="softmax"):
    return [make_net(4 + number, activation, name=f"net_{number}") for number in range(count)]


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_the_mean_and_the_geometric_mean(data):
    """The lecture's geometric ensemble: the product of the probabilities, normalised."""
    x, _ = data
    models = nets()
    p = np.stack([model.predict(x, verbose=0) for model in models])
    for weights in (None, [1, 2, 1]):
        share = np.array(weights or [1, 1, 1])[:, None, None] / (4 if weights else 3)
        mean = D.Ensemble(models, weights=weights).predict(x, verbose=0)
        np.testing.assert_allclose(mean, (share * p).sum(0), rtol=1e-5)
        geometric = D.Ensemble(models, "geometric", weights).predict(x, verbose=0)
        product = np.prod(p**share, axis=0)
        np.testing.assert_allclose(geometric, product / product.sum(-1, keepdims=True), rtol=1e-4)


def test_the_best_for_each_sample(data):
    x, y = data
    models = nets()
    p = np.stack([model.predict(x, verbose=0) for model in models])
    ensemble = D.Ensemble(models, "best")
    rows = np.arange(len(x))
    right = p[p[:, rows, y].argmax(0), rows]
    np.testing.assert_allclose(ensemble(x, labels=y), right, rtol=1e-5)
    surest = p[p.max(-1).argmax(0), rows]
    np.testing.assert_allclose(ensemble.predict(x, verbose=0), surest, rtol=1e-5)


def test_linear_outputs_and_sigmoids(data):
    x, _ = data
    linear = nets(2, None)
    z = np.stack([model.predict(x, verbose=0) for model in linear])
    for combination in ("mean", "geometric"):
        found = D.Ensemble(linear, combination).predict(x, verbose=0)
        np.testing.assert_allclose(found, z.mean(0), rtol=1e-4, atol=1e-6)
    units = nets(2, "sigmoid")
    q = np.stack([model.predict(x, verbose=0) for model in units])
    found = D.Ensemble(units, "geometric").predict(x, verbose=0)
    yes, no = np.sqrt(np.prod(q, axis=0)), np.sqrt(np.prod(1 - q, axis=0))
    np.testing.assert_allclose(found, yes / (yes + no), rtol=1e-4)


@pytest.mark.parametrize("combination", ["mean", "geometric", "best"])
def test_they_teach_and_are_saved(data, combination, tmp_path):
    x, y = data
    ensemble = D.Ensemble(nets(2), combination)
    distiller = ek.distill(make_net(3), ensemble)
    assert distiller.teacher_activation == ["softmax"]
    distiller.compile("adam", LOSS)
    history = distiller.fit(x, y, epochs=8, verbose=0).history["distillation_loss"]
    assert history[-1] < history[0]
    ensemble.save(tmp_path / "ensemble.keras")
    again = keras.models.load_model(tmp_path / "ensemble.keras")
    expected = ensemble.predict(x, verbose=0)
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, rtol=1e-5)


def test_a_list_of_teachers_is_their_mean():
    models = nets(2)
    distiller = ek.distill(make_net(3), models)
    assert isinstance(distiller.teacher, D.Ensemble)
    assert distiller.teacher.combination == "mean"
    assert ek.distill(make_net(3), models[:1]).teacher is models[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"models": "nets"}, TypeError, "`models` must be a list of Keras models"),
        ({"models": [make_net(3)]}, ValueError, "two or more"),
        ({"models": [make_net(3)] * 2}, ValueError, "each another model"),
        ({"models": [make_net(3), make_net(3, None)]}, ValueError, "linear and softmax"),
        ({"combination": "median"}, ValueError, "combination='median'"),
        ({"weights": [1]}, ValueError, "must be 3 numbers"),
        ({"weights": [0, 0, 0]}, ValueError, "must not all be 0"),
        ({"weights": [1, 1, -1]}, ValueError, "0 or above"),
        ({"combination": "best", "weights": [1, 1, 1]}, ValueError, "one model of each sample"),
        ({"activation": "relu"}, ValueError, "activation='relu'"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        D.Ensemble(**{"models": nets(), **arguments})


def test_outputs_that_differ_are_refused():
    image = keras.Input((8, 8, 3))
    other = keras.Model(image, layers.Dense(5, "softmax")(layers.Flatten()(image)))
    with pytest.raises(ValueError, match=r"different shapes: \(None, 4\), \(None, 5\)"):
        D.Ensemble([make_net(3), other])
