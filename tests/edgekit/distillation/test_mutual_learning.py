import keras
import numpy as np
import pytest

import edgekit as ek
from tests.edgekit.distillation.conftest import LOSS, make_net

D = ek.distillation


def kl(p, q):
    return (p * np.log(p / q)).sum(-1).mean()


def frozen(net):
    """Without batch statistics, so that training and inference agree."""
    net.get_layer("bn").trainable = False
    return net


def test_the_loss_is_that_of_the_paper(data):
    x, y = data
    nets = [frozen(make_net(width, name=f"net_{width}")) for width in (3, 5, 7)]
    p = [net.predict(x, verbose=0).astype("f8") for net in nets]
    own = [-np.log(each[np.arange(len(y)), y]).mean() for each in p]
    taught = [kl(p[j], p[i]) for i in range(3) for j in range(3) if i != j]
    both = D.MutualLearning(nets, weight=2)
    both.compile(keras.optimizers.SGD(0.0), LOSS)
    loss = both.fit(x, y, batch_size=len(x), verbose=0).history["loss"][0]
    assert loss == pytest.approx(sum(own) + 2 * sum(taught) / 2, rel=1e-4)


def test_each_students_regularizer_counts_once(data):
    x, y = data
    penalty = keras.regularizers.L2(0.1)
    nets = [frozen(make_net(w, name=f"net_{w}", kernel_regularizer=penalty)) for w in (3, 5)]
    expected = 0
    for net in nets:
        net.compile("sgd", LOSS)
        expected += net.evaluate(x, y, verbose=0)
    both = D.MutualLearning(nets, weight=0)
    both.compile(keras.optimizers.SGD(0.0), LOSS)
    loss = both.fit(x, y, batch_size=len(x), verbose=0).history["loss"][0]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_no_gradient_flows_into_the_one_that_teaches(data):
    x, y = data
    nets = [frozen(make_net(width, name=f"net_{width}")) for width in (3, 5)]
    before = nets[1].get_weights()
    nets[1].trainable = False
    both = D.MutualLearning(nets, weight=5)
    both.compile(keras.optimizers.SGD(0.1), LOSS)
    both.fit(x, y, verbose=0)
    for old, new in zip(before, nets[1].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_students_train_in_place_and_come_to_agree(data):
    x, y = data
    found = {}
    for weight in (0, 3):
        keras.utils.set_random_seed(0)
        nets = [make_net(4, name="one"), make_net(6, name="two")]
        both = D.MutualLearning(nets, weight=weight)
        both.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
        history = both.fit(x, y, epochs=15, verbose=0, validation_data=(x, y)).history
        assert history["accuracy"][-1] > history["accuracy"][0]
        p = [net.predict(x, verbose=0) for net in nets]
        mean = both.predict(x, verbose=0)
        np.testing.assert_allclose(mean, (p[0] + p[1]) / 2, atol=1e-6)
        accuracy = np.mean(mean.argmax(-1) == y)
        assert history["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)
        found[weight] = kl(*p)
    assert found[3] < 0.5 * found[0]


def test_it_is_pruned_saved_and_loaded(data, tmp_path):
    x, y = data
    nets = [make_net(4, name="one"), make_net(6, name="two")]
    both = D.MutualLearning(nets, temperature=2)
    both.compile("adam", LOSS)
    both.fit(x, y, epochs=2, verbose=0, callbacks=[ek.GradualPruning(0.5)])
    for net in nets:
        assert np.mean(np.asarray(net.get_layer("conv_2").kernel) == 0) == pytest.approx(
            0.5, abs=0.01
        )
    both.save(tmp_path / "both.keras")
    again = keras.models.load_model(tmp_path / "both.keras")
    assert again.divergence.temperature == 2
    np.testing.assert_array_equal(again.predict(x, verbose=0), both.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"students": make_net(3)}, TypeError, "`students` must be a list of Keras models"),
        ({"students": [make_net(3)]}, ValueError, "`students` must be two or more"),
        ({"weight": -1}, ValueError, "weight=-1"),
        ({"temperature": 0}, ValueError, "temperature=0"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        D.MutualLearning(**{"students": [make_net(3), make_net(4)], **arguments})
