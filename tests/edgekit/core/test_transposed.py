import keras
import numpy as np
from keras import ops

from edgekit.core.tracing import trace


def test_a_traced_transposed_convolution_computes_as_the_function_does():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 3)), rng.normal(size=(3, 4, 3))
    x, kernel = x.astype("float32"), kernel.astype("float32")

    def upsample(x, kernel):
        return ops.conv_transpose(x, kernel, 2, padding="same", output_padding=1)

    inputs = [keras.Input((5, 3)), keras.Input(batch_shape=(3, 4, 3))]
    graph = trace(upsample, inputs)
    found = graph.model([x, kernel])
    np.testing.assert_allclose(found, upsample(x, kernel), rtol=1e-5)
    assert graph.outputs[0].shape == (None, 10, 4)
