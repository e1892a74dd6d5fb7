import keras
import numpy as np
from keras import layers

import edgekit as ek
from converters.integer.file import FlatFile


def kernels_of(content: bytes) -> list[int]:
    """Sizes of the int8 constants that FULLY_CONNECTED ops multiply by, each stored one once."""
    file = FlatFile(content)
    ops = [op for op in file.graph.operators if file.op_name(op) == "FULLY_CONNECTED"]
    buffers = {file.graph.tensors[int(op.inputs[1])].buffer for op in ops}
    return sorted(len(file.model.buffers[b].data) for b in buffers)


def test_a_kernel_that_several_ops_read_is_stored_once():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((26, 16)), layers.LSTM(16), layers.Dense(32)])
    kernel, recurrent, bias = model.layers[0].get_weights()
    recurrent *= np.linspace(0.1, 3, 64)  # channels of other sizes: a scale each is worth it
    model.layers[0].set_weights([kernel, recurrent, bias])
    x = np.random.default_rng(0).normal(size=(16, 26, 16)).astype("float32")
    file = ek.convert(model, "int8", calibration=x)["int8"]
    assert kernels_of(file.content) == [16 * 32, 16 * 64, 16 * 64]
