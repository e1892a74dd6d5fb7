import keras
import numpy as np
import pytest
from keras import layers, ops

from edgekit.core.tracing import own_variables, placeholder, symbolic, trace


class Scale(layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), name="factor")
        self.offsets = [self.add_weight(shape=(), name=f"offset_{i}") for i in range(2)]

    def call(self, inputs):
        return inputs * ops.exp(self.factor) + self.offsets[1]


def test_a_trace_computes_the_layer_from_its_weights():
    layer = Scale()
    layer.build((None, 3))
    x = keras.Input((3,))
    weights = [placeholder(v) for v in layer.variables]
    with symbolic(layer, {id(v): w for v, w in zip(layer.variables, weights, strict=True)}):
        graph = trace(lambda *_: layer.call(x), [x, *weights])
    assert [type(call.operation).__name__ for call in graph.calls] == ["Exp", "Multiply", "Add"]
    assert isinstance(layer.factor, keras.Variable)
    assert all(isinstance(v, keras.Variable) for v in layer.offsets)
    values = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    found = graph.model([values, *(v.value for v in layer.variables)])
    np.testing.assert_allclose(found, layer(values), rtol=1e-6)


def test_weights_are_back_after_an_error():
    layer = Scale()
    layer.build((None, 3))

    def fail():
        with symbolic(layer, {id(layer.factor): keras.Input(batch_shape=(3,))}):
            assert isinstance(layer.factor, keras.KerasTensor)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert isinstance(layer.factor, keras.Variable)


def test_sublayers_keep_their_variables():
    layer = layers.MultiHeadAttention(2, 4)
    x = keras.Input((5, 8))
    layer(x, x)
    assert own_variables(layer) == []
    dense = layers.Dense(3)
    dense.build((None, 4))
    assert own_variables(dense) == dense.variables
