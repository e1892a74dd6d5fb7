import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from converters.carried_states import coarse_state
from converters.reader import read_model

X = np.random.default_rng(0).normal(size=(32, 10, 6)).astype("float32")


def lstm(open_gates):
    """An LSTM whose gates stay open, as training leaves them, or as it is initialized."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((10, 6)), layers.LSTM(8), layers.Dense(3)])
    if open_gates:
        kernel, recurrent, bias = model.layers[0].get_weights()
        bias[:8], bias[8:16] = 2.0, 8.0
        kernel[:, 16:24] *= 3
        model.layers[0].set_weights([kernel, recurrent, bias])
    return model


def test_a_cell_state_of_trained_size_is_warned_of():
    with pytest.warns(UserWarning, match=r"int8: a state that a recurrent layer carries .* ±\d"):
        files = ek.convert(lstm(True), ["int8", "int16x8"], calibration=X)
    assert "convert to int16x8" in " ".join(files["int8"].check.notes)
    assert "recurrent layer carries" not in " ".join(files["int16x8"].check.notes)


@keras.saving.register_keras_serializable("carried_states")
class Sum(layers.Layer):
    """A cell that adds up what it sees."""

    state_size = output_size = 4

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 4), name="kernel")

    def call(self, inputs, states, training=None):
        total = states[0] + ops.matmul(inputs, self.kernel)
        return total, [total]


def test_a_running_sum_is_a_state_too():
    model = keras.Sequential([keras.Input((20, 6)), layers.RNN(Sum()), layers.Dense(2)])
    kernel = model.layers[0].cell.kernel
    kernel.assign(np.full((6, 4), 0.1))
    x = np.random.default_rng(0).uniform(0.9, 1.0, (16, 20, 6)).astype("float32")
    with pytest.warns(UserWarning, match="a state that a recurrent layer carries"):
        file = ek.convert(model, "int8", calibration=x)["int8"]
    reach, step = coarse_state(read_model(file.content).ops, unrolled=True)
    totals = np.cumsum(x @ kernel.numpy(), axis=1)
    assert reach == pytest.approx(totals.max(), rel=0.01)
    assert step == pytest.approx(totals.max() / 255, rel=0.01)
    qat = ek.quantize_aware(model)
    qat(x, training=True)
    with pytest.warns(UserWarning, match="a state that a recurrent layer carries"):
        ek.convert(qat, "int8")


def test_small_states_are_left_alone():
    with warnings.catch_warnings(action="error"):
        file = ek.convert(lstm(False), "int8", calibration=X)["int8"]
    assert coarse_state(read_model(file.content).ops, True) is None
