"""What a layer of one's own does with its weights says which of them are kernels."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import edgekit as ek
from edgekit.core.kernels import own_kernels, select_kernels


class Own(layers.Layer):
    """A layer with one weight of a shape, called `variable` as Keras does."""

    weight_name = None

    def __init__(self, shape, **kwargs):
        super().__init__(**kwargs)
        self.weight_shape = shape

    def build(self, input_shape):
        self.w = self.add_weight(shape=self.weight_shape, name=self.weight_name)


class Product(Own):
    def call(self, x):
        return ops.matmul(x, self.w)


class TensorFlowProduct(Own):
    def call(self, x):
        return tf.linalg.matmul(x, self.w)


class Standardized(Own):
    def call(self, x):
        w = self.w - ops.mean(self.w, axis=0)
        return ops.einsum("bti,io->bto", x, w / (ops.std(w, axis=0) + 1e-3))


class Convolution(Own):
    def call(self, x):
        return ops.conv(x, self.w)


class Position(Own):
    def call(self, x):
        return x + self.w


class Shared(Own):
    """Position embeddings that a product follows."""

    def build(self, input_shape):
        super().build(input_shape)
        self.dense = layers.Dense(4)
        self.dense.build(input_shape)

    def call(self, x):
        return self.dense(x + self.w)


class Token(Own):
    def call(self, x):
        token = ops.broadcast_to(self.w, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


class Queries(Own):
    """Learned queries: what is multiplied with a kernel, not a kernel."""

    def build(self, input_shape):
        super().build(input_shape)
        self.dense = layers.Dense(4)
        self.dense.build(input_shape)

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.dense(self.w)))


class Scale(Own):
    def call(self, x):
        return ops.einsum("btc,tc->btc", x, self.w)


class Table(Own):
    def call(self, x):
        return ops.take(self.w, ops.cast(x, "int32"), axis=0)


class Places(Own):
    """A table of places, looked up by where they are."""

    def call(self, x):
        return x + ops.take(self.w, ops.arange(ops.shape(x)[1]), axis=0)


class Hidden(Own):
    weight_name = "projection"

    def call(self, x):
        return tf.numpy_function(lambda a, b: a @ b, [x, self.w], tf.float32)


class HiddenPosition(Hidden):
    weight_name = "pos_embedding"


@pytest.mark.parametrize(
    ("kind", "shape", "kernel"),
    [
        (Product, (6, 4), True),
        (Product, (6, 1), True),
        (TensorFlowProduct, (6, 4), True),
        (Standardized, (6, 4), True),
        (Convolution, (3, 6, 4), True),
        (Table, (9, 4), True),
        (Position, (8, 6), False),
        (Position, (1, 8, 6), False),
        (Shared, (8, 6), False),
        (Token, (1, 1, 6), False),
        (Queries, (5, 6), False),
        (Scale, (8, 6), False),
        (Scale, (1, 6), False),
        (Places, (8, 6), False),
        (Hidden, (6, 4), True),
        (HiddenPosition, (6, 4), False),
    ],
)
def test_roles(kind, shape, kernel):
    layer = kind(shape)
    layer.build((None, 8, 6))
    assert [v is layer.w for v in own_kernels(layer)] == [True] * kernel


def test_own_layers_may_say_which():
    class Said(Position):
        edgekit_kernels = ("w",)

    class NoneOfThem(Product):
        edgekit_kernels = ()

    class Wrong(Product):
        edgekit_kernels = ("v",)

    for kind, count in ((Said, 1), (NoneOfThem, 0)):
        layer = kind((8, 6) if count else (6, 4))
        layer.build((None, 8, 6))
        assert len(own_kernels(layer)) == count
    layer = Wrong((6, 4))
    layer.build((None, 8, 6))
    with pytest.raises(ValueError, match="must hold names of attributes that are weights.*'v'"):
        own_kernels(layer)


def test_keras_layers_by_role():
    inputs = keras.Input((8, 6))
    x = layers.LayerNormalization(axis=[1, 2], name="layer_norm")(inputs)
    x = layers.RMSNormalization(axis=[1, 2], name="rms_norm")(x)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.EinsumDense("btc,cd->btd", output_shape=(None, 5), bias_axes="d", name="einsum")(x)
    x = layers.GRU(4, name="gru")(x)
    tokens = keras.Input((3,), dtype="int32")
    y = layers.Flatten()(layers.Embedding(7, 2, name="table")(tokens))
    model = keras.Model([inputs, tokens], layers.Dense(2, name="out")(layers.concatenate([x, y])))
    found = {v.path for kernels in select_kernels(model).values() for v in kernels}
    assert found == {
        *(f"attention/{part}/kernel" for part in ("query", "key", "value", "attention_output")),
        "einsum/kernel",
        "gru/gru_cell/kernel",
        "gru/gru_cell/recurrent_kernel",
        "table/embeddings",
        "out/kernel",
    }


def test_normalizations_and_positions_stay_dense():
    inputs = keras.Input((8, 6))
    x = layers.LayerNormalization(axis=[1, 2], name="norm")(
        Position((8, 6), name="position")(inputs)
    )
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Flatten()(x)))
    model.compile("adam", "mse")
    samples = np.random.default_rng(0).normal(size=(16, 8, 6)).astype("float32")
    pruning, clustering = ek.GradualPruning(0.5), ek.WeightClustering(4)
    for callback in (pruning, clustering):
        model.fit(samples, np.zeros((16, 2)), verbose=0, callbacks=[callback])
    assert list(pruning.masks) == list(clustering.codebooks) == ["out/kernel"]
    assert np.all(np.asarray(model.get_layer("norm").gamma))
    kinds = {row.kind: row.kernel_elements for row in ek.summary(model).layers}
    assert kinds == {"Position": 0, "LayerNormalization": 0, "Dense": 96}
