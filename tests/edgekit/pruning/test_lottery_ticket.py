import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


def net():
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, activation="relu", name="a"),
            layers.BatchNormalization(),
            layers.Dense(4, name="b"),
        ],
        name="net",
    )
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([10], [0.01, 0.001])
    model.compile(keras.optimizers.Adam(schedule), "mse")
    return model


RNG = np.random.default_rng(0)
X, Y = RNG.random((64, 8)).astype("float32"), RNG.random((64, 4)).astype("float32")


class Record(keras.callbacks.Callback):
    """Weights and step counter at the start of each epoch, and after the second step."""

    def on_train_begin(self, logs=None):
        self.begins, self.early = [], None

    def on_epoch_begin(self, epoch, logs=None):
        self.begins.append((self.model.get_weights(), int(self.model.optimizer.iterations)))

    def on_train_batch_end(self, batch, logs=None):
        if self.early is None and batch == 1:
            self.early = self.model.get_weights()


def search(rewind_to, **options):
    model = net()
    ticket = ek.LotteryTicket(0.8, rounds=3, rewind_to=rewind_to, **options)
    record = Record()
    model.fit(X, Y, batch_size=16, epochs=8, verbose=0, callbacks=[ticket, record])
    return model, ticket, record


@pytest.mark.parametrize(("rewind_to", "steps"), [(0, 0), (2, 2), (0.25, 2)])
def test_each_training_begins_at_the_early_weights_under_its_mask(rewind_to, steps):
    _, ticket, record = search(rewind_to)
    early = record.begins[0][0] if steps == 0 else record.early
    for training, share in enumerate((0, 0.415, 0.658, 0.8)):
        weights, iterations = record.begins[2 * training]
        assert iterations == (steps if training else 0)  # the learning rate starts again too
        kernel = weights[0]
        assert np.mean(kernel == 0) == pytest.approx(share, abs=0.005)
        if training:
            np.testing.assert_array_equal(kernel, np.where(kernel != 0, early[0], 0))
            np.testing.assert_array_equal(weights[4], early[4])  # the moving mean
    assert [round(done.sparsity, 2) for done in ticket.rounds] == [0.0, 0.42, 0.66, 0.8]
    assert set(ticket.rounds[0].logs) == {"loss", "sparsity"}


def test_the_ticket_and_its_control():
    model, ticket, record = search(0)
    masks = ticket.masks
    ticket.rewind()
    np.testing.assert_array_equal(model.get_weights()[0], record.begins[6][0][0])
    ticket.reinitialize(1)
    first = model.get_weights()[0]
    np.testing.assert_array_equal(first != 0, masks["net/a/kernel"])
    assert not np.array_equal(first, record.begins[6][0][0])
    ticket.reinitialize(2)
    assert not np.array_equal(model.get_weights()[0], first)
    assert model.get_layer("a").kernel.constraint is None


def test_rounds_follow_from_a_fifth_each():
    model = net()
    with pytest.raises(ValueError, match="7 rounds of pruning make 8 trainings.*epochs=9"):
        model.fit(X, Y, epochs=9, verbose=0, callbacks=[ek.LotteryTicket(0.79)])


def test_a_step_beyond_the_first_training_is_refused():
    with pytest.raises(ValueError, match="within the first training of 8 steps"):
        search(8)


class StopAfter(keras.callbacks.Callback):
    """Ends the fit after an epoch, as a user or a job's time limit does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == self.epoch


@pytest.mark.filterwarnings("ignore:LotteryTicket. the fit stopped:UserWarning")
def test_a_search_goes_on_in_another_fit(tmp_path):
    options = {"batch_size": 16, "epochs": 8, "verbose": 0, "shuffle": False}
    keras.utils.set_random_seed(0)
    whole, ticket = net(), ek.LotteryTicket(0.8, rounds=3, rewind_to=2)
    whole.fit(X, Y, callbacks=[ticket], **options)

    keras.utils.set_random_seed(0)
    model, ticket = net(), ek.LotteryTicket(0.8, rounds=3, rewind_to=2)
    model.fit(X, Y, callbacks=[ticket, StopAfter(4)], **options)
    ticket.save_state(tmp_path / "ticket")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    later = ek.LotteryTicket(0.8, rounds=3, rewind_to=2)
    with pytest.raises(ValueError, match="load the state of the run"):
        again.fit(X, Y, initial_epoch=5, callbacks=[later], **options)
    later.load_state(tmp_path / "ticket.npz")
    again.fit(X, Y, initial_epoch=5, callbacks=[later], **options)
    assert [round(done.sparsity, 2) for done in later.rounds] == [0.0, 0.42, 0.66, 0.8]
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_search_cut_short_keeps_what_was_trained():
    model, ticket = net(), ek.LotteryTicket(0.8, rounds=3)
    with pytest.warns(UserWarning, match="stopped after 2 of 4 trainings; sparsity is 41"):
        model.fit(X, Y, epochs=8, verbose=0, callbacks=[ticket, StopAfter(3)])
    trained = model.get_weights()[0]
    ticket.rewind()
    assert np.abs(model.get_weights()[0] - trained).max() > 1e-3


@pytest.mark.filterwarnings("ignore:LotteryTicket. the fit stopped:UserWarning")
@pytest.mark.parametrize(
    ("options", "match"),
    [({"rounds": 0}, "`rounds` must be"), ({"rewind_to": -1}, "`rewind_to` must be a step")],
)
def test_bad_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        ek.LotteryTicket(0.5, **options)


def test_nothing_to_rewind_before_a_fit():
    with pytest.raises(ValueError, match="no fit with this callback has begun"):
        ek.LotteryTicket(0.5).rewind()
