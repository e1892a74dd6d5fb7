import keras
import numpy as np
import pytest
from keras import layers, ops

from edgekit.core.tracing import own_variables, placeholder, symbolic, trace, trace_layer


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


class ReadsInside(layers.Layer):
    """Calls a sublayer on a constant and on data, and reads a weight of another."""

    def build(self, input_shape):
        self.positions, self.first = layers.Embedding(5, 4), layers.Dense(4, use_bias=False)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.positions.build((5,))
        self.first.build(input_shape)

    def call(self, inputs):
        encoded = self.first(inputs) + self.positions(ops.arange(5)) * self.scale
        return ops.matmul(encoded, ops.transpose(self.first.kernel))


def test_what_a_layer_reads_of_its_sublayers_is_an_input():
    layer = ReadsInside()
    x = keras.Input((5, 3))
    expected = layer(x)
    graph, weights, variables = trace_layer(layer, layer.call, [x])
    assert [v.name for v in variables] == ["scale", "embeddings", "kernel"]
    assert [w.shape for w in weights] == [(), (5, 4), (3, 4)]
    assert layer.first in [call.operation for call in graph.calls]
    assert layer.positions not in [call.operation for call in graph.calls]
    assert all(isinstance(v, keras.Variable) for v in (layer.scale, layer.first.kernel))
    values = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    for variable in variables:
        variable.assign(variable * 1.5)  # later than the trace
    assert expected.shape == graph.outputs[0].shape
    found = graph.model([values, *(v.value for v in variables)])
    np.testing.assert_allclose(found, layer(values), rtol=1e-5)
