import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import edgekit as ek
from benchmarks.resnet8 import resnet8


def rows(model) -> dict:
    """`{name of the layer: its row}`."""
    return {row.path.split("/")[-1]: row for row in ek.summary(model).layers}


def functional(shape, *stack, **options) -> keras.Model:
    return keras.Sequential([keras.Input(shape, **options), *stack])


def test_figures_of_a_cnn(cnn):
    found = rows(cnn)
    assert list(found) == ["conv", "conv_bn", "depthwise", "depthwise_bn", "pointwise", "classes"]
    conv, norm = found["conv"], found["conv_bn"]
    assert (conv.kind, conv.params, conv.bytes, conv.macs) == ("Conv2D", 216, 864, 64 * 27 * 8)
    assert (conv.sparsity, conv.distinct, conv.dead_filters) == (0.0, 216, 0)
    assert (norm.params, norm.macs, norm.sparsity, norm.distinct) == (32, 0, None, None)
    assert norm.dead_filters is None
    assert found["depthwise"].macs == 64 * 9 * 8
    assert (found["classes"].macs, found["classes"].kernel_elements) == (32, 32)
    total = ek.summary(cnn)
    assert total.params == cnn.count_params() == 468
    assert (total.bytes, total.macs, total.sparsity) == (468 * 4, 22560, 0.0)


def test_zeros_values_and_dead_filters():
    model = functional((4,), layers.Dense(4, name="d"), layers.Dense(2, name="e"))
    d, e = model.layers
    d.set_weights([np.array([[0, 1, 1, 0]] * 3 + [[0, -0.0, 2, 0]], "float32"), np.ones(4)])
    e.set_weights([np.array([[3, 3]] * 4, "float32"), np.zeros(2)])
    found = ek.summary(model)
    assert (found.layers[0].sparsity, found.layers[0].distinct) == (9 / 16, 3)
    assert (found.layers[0].dead_filters, found.layers[1].dead_filters) == (2, 0)
    assert (found.layers[1].sparsity, found.layers[1].distinct) == (0, 1)
    assert found.sparsity == 9 / 24
    model.trainable = False
    assert ek.summary(model) == found


@pytest.mark.parametrize(
    ("layer", "dead"),
    [(layers.Conv2DTranspose(3, 2), 1), (layers.DepthwiseConv2D(2, depth_multiplier=2), 1)],
)
def test_dead_filters_of_other_layouts(layer, dead):
    model = functional((4, 4, 2), layer)
    kernel = np.ones(layer.kernel.shape, "float32")
    if isinstance(layer, layers.Conv2DTranspose):
        kernel[:, :, 1, :] = 0
    else:
        kernel[:, :, 0, 1] = 0
    layer.kernel.assign(kernel)
    assert ek.summary(model).layers[0].dead_filters == dead


@pytest.mark.parametrize(
    ("shape", "layer", "macs"),
    [
        ((5, 3), layers.Dense(7), 5 * 3 * 7),
        ((5, 3), layers.EinsumDense("abc,cde->abde", (None, 2, 4)), 5 * 3 * 2 * 4),
        ((5, 2, 4), layers.EinsumDense("...hd,hde->...e", (6,)), 5 * 2 * 4 * 6),
        ((10, 3), layers.Conv1D(4, 3, padding="causal"), 10 * 3 * 3 * 4),
        ((9, 9, 4), layers.Conv2D(6, 3, strides=2, groups=2), 16 * 9 * 2 * 6),
        ((5, 5, 5, 2), layers.Conv3D(3, 2), 64 * 8 * 2 * 3),
        ((6, 2), layers.Conv1DTranspose(3, 4, strides=2), 6 * 2 * 4 * 3),
        ((4, 4, 2), layers.Conv2DTranspose(3, 3, strides=2), 16 * 2 * 9 * 3),
        ((3, 3, 3, 2), layers.Conv3DTranspose(3, 2), 27 * 2 * 8 * 3),
        ((8, 4), layers.DepthwiseConv1D(3, padding="same"), 8 * 4 * 3),
        ((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2), 36 * 9 * 6),
        ((8, 3), layers.SeparableConv1D(5, 3, padding="same"), 8 * (3 * 3 + 3 * 5)),
        ((8, 8, 3), layers.SeparableConv2D(5, 3, strides=2), 9 * (27 + 15)),
        ((3, 8, 8), layers.SeparableConv2D(5, 3, data_format="channels_first"), 36 * (27 + 15)),
        ((6, 4), layers.SimpleRNN(3), 6 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.LSTM(3, unroll=True), 6 * 4 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.GRU(3, return_sequences=True), 6 * 3 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.Bidirectional(layers.LSTM(3)), 2 * 6 * 4 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.RNN([layers.GRUCell(3), layers.GRUCell(2)]), 6 * 3 * (21 + 10)),
        ((3, 6, 6, 2), layers.ConvLSTM2D(4, 3), 3 * 16 * 9 * (2 + 4) * 16),
        ((6, 4), layers.TimeDistributed(layers.Dense(3)), 6 * 4 * 3),
        ((None, 4), layers.TimeDistributed(layers.Dense(3)), None),
        ((None, 4), layers.LSTM(3), None),
        ((None, None, 3), layers.Conv2D(4, 3), None),
        ((5,), layers.Embedding(10, 4), 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_macs(shape, layer, macs):
    found = ek.summary(functional(shape, layer))
    assert found.macs == macs
    assert found.params == layer.count_params()


def test_macs_of_attention():
    query, value = keras.Input((5, 8)), keras.Input((7, 6))
    attend = layers.MultiHeadAttention(2, 4, value_dim=3, name="attend")
    found = rows(keras.Model([query, value], attend(value=value, query=query)))
    assert found["attend"].macs == 2 * 5 * 7 * (4 + 3)
    assert found["query"].macs == 5 * 8 * 2 * 4
    assert found["key"].macs == 7 * 6 * 2 * 4
    assert found["attention_output"].macs == 5 * 2 * 3 * 8
    assert found["query"].kernel_elements == 64  # its bias has rank 2 as well


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (layers.GroupQueryAttention(4, 4, 2), 5 * 7 * 2 * 4 * 4),
        (layers.Attention(), None),
        (layers.Dot((2, 2)), 5 * 7 * 8),
    ],
)
def test_macs_of_layers_without_weights(layer, macs):
    query, value = keras.Input((5, 8)), keras.Input((7, 8))
    together = isinstance(layer, (layers.Attention, layers.Dot))
    output = layer([query, value]) if together else layer(query, value)
    found = {row.kind: row for row in ek.summary(keras.Model([query, value], output)).layers}
    assert found[type(layer).__name__].macs == (macs or 5 * 7 * (8 + 8))


def test_known_nets():
    assert ek.summary(resnet8()).macs == 12_501_632
    mobilenet = keras.applications.MobileNetV2(weights=None)
    found = ek.summary(mobilenet)
    assert (found.macs, found.params) == (300_774_272, mobilenet.count_params())


def test_macs_are_those_of_the_file(cnn):
    x = layers.Conv2DTranspose(4, 3, strides=2)(cnn.get_layer("depthwise_relu").output)
    x = layers.SeparableConv2D(5, 2, strides=3)(x)
    x = layers.Reshape((-1, 5))(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    model = keras.Model(cnn.input, [x, cnn.output])
    assert ek.summary(model).macs == ek.inspect(ek.convert(model)["float32"]).macs


def test_shared_layers_count_their_weights_once_and_their_macs_twice():
    dense = layers.Dense(8, name="shared")
    x = keras.Input((8,))
    model = keras.Model(x, dense(dense(x)))
    row = rows(model)["shared"]
    assert (row.params, row.macs) == (72, 2 * 64)


class Tied(layers.Layer):
    """Multiplies with the kernel of another layer."""

    def __init__(self, other, **kwargs):
        super().__init__(**kwargs)
        self.kernel = other.kernel

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.kernel))


def test_a_variable_of_two_layers_counts_in_the_first():
    dense = layers.Dense(3, use_bias=False, name="dense")
    x = keras.Input((8,))
    y = dense(x)
    found = ek.summary(keras.Model(x, Tied(dense, name="tied")(y)))
    assert [(row.path, row.params, row.macs) for row in found.layers] == [
        ("dense", 24, 24),
        ("tied", 0, 24),
    ]
    assert (found.params, found.sparsity) == (24, 0)


class Scan(layers.Layer):
    """Multiplies with its kernel in a loop of its own."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1],) * 2, name="kernel")

    def call(self, inputs):
        steps = ops.transpose(inputs, (1, 0, 2))
        return ops.scan(lambda state, x: (ops.matmul(state, self.kernel), x), steps[0], steps)[0]


class InPython(layers.Layer):
    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        return tf.ensure_shape(tf.numpy_function(np.abs, [inputs], "float32"), inputs.shape)


class Traced(layers.Layer):
    @tf.function
    def call(self, inputs):
        return ops.matmul(inputs, ops.ones((4, 3)))


@pytest.mark.parametrize("kind", [Scan, InPython, Traced])
def test_what_is_unknown_is_said(kind):
    layer = kind(name="unknown")
    layer(np.ones((1, 6, 4), "float32"))  # a function that is traced already shows no operations
    found = ek.summary(functional((6, 4), layers.Dense(4, use_bias=False), layer))
    assert (found.macs, found.known_macs, found.unknown_macs) == (None, 96, ["unknown"])
    assert "≥ 96" in str(found)
    assert "not known for 1 of the layers" in str(found)


@keras.saving.register_keras_serializable("summary")
class Projection(layers.Layer):
    """Multiplies with a weight of its own, then calls a layer."""

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(input_shape[-1], 3), name="weight")
        self.dense = layers.Dense(7, name="inner")
        self.dense.build((*input_shape[:-1], 3))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 7)

    def call(self, inputs):
        return self.dense(ops.matmul(inputs, self.weight))


@keras.saving.register_keras_serializable("summary")
class Cell(layers.Layer):
    """A recurrent cell whose kernels have other names than Keras's."""

    state_size = 3

    def build(self, input_shape):
        self.dense = layers.Dense(3, name="inner")
        self.dense.build(input_shape)
        self.weight = self.add_weight(shape=(3, 3), name="weight")

    def call(self, inputs, states):
        output = self.dense(inputs) + ops.matmul(states[0], self.weight)
        return output, [output]


class Adapted(layers.Dense):
    """A layer with a formula, and more in its call."""

    def build(self, input_shape):
        super().build(input_shape)
        self.down = self.add_weight(shape=(input_shape[-1], 2), name="down")
        self.up = self.add_weight(shape=(2, self.units), name="up")

    def call(self, inputs):
        return super().call(inputs) + ops.matmul(ops.matmul(inputs, self.down), self.up)


def _weights(*shape):
    return ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))


def test_operations_count_by_hand_and_as_the_file():
    x, image, heads = keras.Input((6, 4)), keras.Input((6, 6, 3)), keras.Input((5, 2, 4))
    inner = keras.Model(x, ops.einsum("bij,bkj->bik", x, x), name="scores")

    def grown(a):
        return ops.conv_transpose(a, _weights(3, 3, 5, 3), 2)

    computed = {
        ops.matmul(x, ops.transpose(x, (0, 2, 1))): 6 * 4 * 6,
        ops.einsum("bij,jhd->bihd", x, _weights(4, 2, 5)): 6 * 4 * 2 * 5,
        ops.tensordot(x, _weights(4, 3), 1): 6 * 4 * 3,
        ops.conv(image, _weights(3, 3, 3, 5)): 16 * 27 * 5,
        ops.depthwise_conv(image, _weights(3, 3, 3, 2)): 16 * 9 * 6,
        ops.separable_conv(-image, _weights(3, 3, 3, 2), _weights(1, 1, 6, 5)): 16 * (54 + 30),
        ops.dot_product_attention(heads, heads, heads): 2 * 2 * 5 * 5 * 4,
        inner(x * 3.0) + inner(x * 2.0): 2 * 6 * 6 * 4,
        Projection(name="own")(x): 6 * 4 * 3 + 6 * 3 * 7,
        layers.TimeDistributed(Projection(name="each"))(heads): 5 * 2 * (4 * 3 + 3 * 7),
        layers.Bidirectional(layers.RNN(Cell()))(x): 2 * 6 * (4 * 3 + 3 * 3),
        Adapted(8, name="adapted")(x): 6 * (4 * 8 + 4 * 2 + 2 * 8),
        layers.Lambda(lambda a: tf.matmul(a, a, transpose_b=True), name="lambda")(-x): 144,
        layers.Lambda(grown, name="grown")(image): 36 * 27 * 5,
        layers.AdditiveAttention()([x, x]): 6 * 6 * 4,
    }
    model = keras.Model([x, image, heads], list(computed), name="net")
    found = ek.summary(model)
    own = {row.path: row.macs for row in found.layers}
    assert (own["scores"], own["own"], own["own/inner"]) == (288, 72, 126)
    assert (own["adapted"], own["lambda"]) == (336, 144)
    assert own["net"] == sum(list(computed.values())[:7])
    assert found.macs == sum(computed.values())
    assert found.macs == ek.inspect(ek.convert(model)["float32"]).macs


def test_operations_of_a_quantization_aware_model_count_once():
    x = keras.Input((6, 4))
    y = layers.Dense(4)(x)
    outputs = [ops.matmul(y, ops.transpose(y, (0, 2, 1))), layers.RNN(Cell())(x), Projection()(x)]
    plain = keras.Model(x, outputs)
    assert ek.summary(plain).macs == 96 + 144 + 6 * (12 + 9) + 72 + 126
    assert ek.summary(ek.quantize_aware(plain)).macs == ek.summary(plain).macs


def test_nested_models_count_at_the_shapes_of_their_calls():
    inner = functional((None, None, 3), layers.Conv2D(4, 3, name="conv"), name="inner")
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, inner(x))
    assert ek.summary(inner).macs is None
    assert rows(model)["conv"].macs == 36 * 27 * 4
    y = keras.Input((6, 6, 3))
    both = keras.Model([x, y], [inner(x), inner(y)])
    assert rows(both)["conv"].macs == (36 + 16) * 27 * 4


class Net(keras.Model):
    """Subclassed, with a weight of its own, a layer called twice and a nested model."""

    def __init__(self):
        super().__init__(name="net")
        self.dense = layers.Dense(4, name="dense")
        self.dropout = layers.Dropout(0.5)
        self.head = functional((4,), layers.Dense(2, name="out"), name="head")

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.scale = self.add_weight(shape=(3,), name="scale")
        self.built = True

    def call(self, inputs):
        x = self.dropout(self.dense(self.dense(inputs)))
        return self.head(x * self.scale[0])


def test_subclassed_model():
    model = Net()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((8, 4)), np.ones((8, 2)), batch_size=4, verbose=0)
    found = rows(model)
    assert {name: (row.params, row.macs) for name, row in found.items()} == {
        "dense": (20, 32),
        "out": (10, 8),
        "net": (3, 0),
    }
    assert ek.summary(model).params == model.count_params()


def test_a_subclassed_model_may_take_tokens_or_several_tensors():
    class Tokens(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4, name="dense")

        def call(self, inputs):
            tokens = ops.one_hot(ops.bitwise_and(inputs["tokens"], 7), 8)
            return self.dense(tokens) + self.dense(tokens)

    model = Tokens()
    model({"tokens": np.ones((3, 5), "int32")})
    assert rows(model)["dense"].macs == 2 * 5 * 8 * 4


def test_what_cannot_be_run_symbolically_counts_as_it_was_built():
    class Eager(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4, name="dense")
            self.lstm = layers.LSTM(3, name="lstm")
            self.steps = layers.TimeDistributed(layers.Dense(5, name="step"))

        def call(self, inputs):
            x = self.steps(self.dense(inputs))
            assert float(np.asarray(x).sum()) is not None  # there must be values
            return self.lstm(x)

    model = Eager()
    model(np.ones((3, 6, 8), "float32"))
    found = rows(model)
    assert found["dense"].macs == 6 * 8 * 4
    assert found["lstm_cell"].macs == 6 * 4 * (5 * 3 + 3 * 3)
    assert found["step"].macs is None
    assert found[model.name].macs is None


def test_a_fixed_batch_counts_as_one_sample():
    model = functional((6, 4), layers.LSTM(3, stateful=True), layers.Dense(2), batch_size=5)
    assert ek.summary(model).macs == 6 * 4 * (12 + 9) + 6


def test_a_quantisation_aware_model_is_what_it_was(cnn):
    x = cnn.get_layer("depthwise_relu").output
    x = layers.SeparableConv2D(6, 3, strides=2, name="separable")(x)
    x = layers.Reshape((-1, 6))(x)
    x = layers.MultiHeadAttention(2, 4, name="attend")(x, x)
    lstm = layers.LSTM(6, return_sequences=True, name="shared")
    plain = keras.Model(cnn.input, [layers.PReLU()(lstm(lstm(x))), cnn.output])

    def figures(model):
        keys = ("kind", "params", "bytes", "macs", "sparsity", "distinct")
        return sorted(
            (row.path.split("/")[-1], *(str(getattr(row, key)) for key in keys))
            for row in ek.summary(model).layers
        )

    assert figures(ek.quantize_aware(plain, ek.QuantScheme(estimator="lsq"))) == figures(plain)


def test_half_precision():
    half = layers.Dense(4, dtype="mixed_float16", name="half")
    stored = layers.Dense(4, dtype="bfloat16", name="stored")
    found = rows(functional((8,), half, stored))
    assert (found["half"].bytes, found["stored"].bytes) == (36 * 4, 20 * 2)
    kernel = np.resize([0.0, -0.0, 0.5, 1.0], (4, 4))
    stored.kernel.assign(kernel)
    assert ek.summary(functional((4,), stored)).layers[0].distinct == 3


def test_slopes_and_statistics_are_no_kernels():
    normalize = layers.Normalization(axis=-1, mean=None, variance=None)
    found = ek.summary(functional((4, 3), normalize, layers.PReLU(), layers.ReLU()))
    assert [row.kind for row in found.layers] == ["Normalization", "PReLU"]
    assert all(row.sparsity is None and row.macs == 0 for row in found.layers)
    assert found.sparsity is None


def test_distinct_values_are_all_counted():
    model = functional((512,), layers.Dense(512, use_bias=False))
    values = np.arange(512 * 512, dtype="float32").reshape(512, 512) // 3 - 1000
    model.layers[0].kernel.assign(values)
    assert ek.summary(model).layers[0].distinct == len(np.unique(values))


def test_it_leaves_the_model_alone(cnn):
    before = cnn.get_weights()
    attributes = {layer: set(vars(layer)) for layer in cnn.layers}
    nodes = [len(layer._inbound_nodes) for layer in cnn.layers]
    ek.summary(cnn)
    assert all(map(np.array_equal, before, cnn.get_weights()))
    assert {layer: set(vars(layer)) for layer in cnn.layers} == attributes
    assert [len(layer._inbound_nodes) for layer in cnn.layers] == nodes
    lstm = layers.LSTM(3, unroll=True)
    ek.summary(functional((6, 4), lstm))
    assert lstm.unroll


def test_table(cnn):
    cnn.get_layer("conv").kernel.assign(np.zeros((3, 3, 3, 8)))
    lines = [line.split() for line in str(ek.summary(cnn)).splitlines()]
    assert ["conv", "Conv2D", "216", "13,824", "100.0%", "1", "8", "864"] in lines
    assert ["total", "468", "22,560", "56.2%", "1,872"] in lines
    open_shape = functional((None, None, 3), layers.Conv2D(4, 3, name="c"))
    assert " – " in str(ek.summary(open_shape))


def test_json(cnn, tmp_path):
    found = ek.summary(cnn)
    path = found.to_json(tmp_path / "summary.json")
    assert list(tmp_path.iterdir()) == [path]
    read = json.loads(path.read_text())
    assert (read["macs"], read["params"], read["layers"][0]["sparsity"]) == (22560, 468, 0.0)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        found.to_json(tmp_path / "missing" / "summary.json")


def test_plot(cnn, tmp_path):
    conv = cnn.get_layer("conv")
    conv.kernel.assign(conv.kernel * np.tile([0, 1], 108).reshape(conv.kernel.shape))
    figure = ek.summary(cnn).plot(tmp_path / "layers.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["layers.svg"]
    assert "<svg" in (tmp_path / "layers.svg").read_text()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "conv",
        "depthwise",
        "pointwise",
        "classes",
    ]
    left, zero = axes.containers
    assert [bar.get_width() for bar in left] == [50, 100, 100, 100]
    assert [bar.get_width() for bar in zero] == [50, 0, 0, 0]
    assert [text.get_text() for text in axes.texts] == ["216", "80", "72", "36"]
    with pytest.raises(ValueError, match="no kernel"):
        ek.summary(functional((4,), layers.ReLU())).plot()


def test_plot_without_matplotlib(cnn, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'edgekit-keras\[report\]'"):
        ek.summary(cnn).plot()


def test_refusals():
    with pytest.raises(TypeError, match="must be a Keras 3 model.*Received: str"):
        ek.summary("model.keras")
    with pytest.raises(TypeError, match="Received: Dense"):
        ek.summary(layers.Dense(2))
    for model in (Net(), keras.Sequential([layers.Dense(2)])):
        with pytest.raises(ValueError, match="no weights yet: build it or call it on data"):
            ek.summary(model)
