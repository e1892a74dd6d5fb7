"""quantize_aware: which values it rounds, what it trains, what it refuses."""

import re
import types

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.core.selection import all_layers
from edgekit.quantization import FakeQuantize, QuantizedBatchNorm, QuantizedLayer


def parts(model, kind):
    return [layer for layer in all_layers(model) if type(layer) is kind]


def test_starts_as_the_same_function(trained, data):
    x, _ = data
    qat = ek.quantize_aware(trained)
    before, after = trained.predict(x, verbose=0), qat.predict(x, verbose=0)
    assert np.abs(before - after).max() < 0.03
    assert qat.input_shape == trained.input_shape
    assert qat.output_shape == trained.output_shape


def test_the_source_is_left_alone(trained, data):
    x, y = data
    weights = [w.copy() for w in trained.get_weights()]
    qat = ek.quantize_aware(trained)
    qat.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    qat.fit(x, y, verbose=0)
    for before, after in zip(weights, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_batchnorm_and_relu_go_into_the_layer_before(cnn):
    qat = ek.quantize_aware(cnn)
    wrappers = {w.layer.name: w for w in parts(qat, QuantizedLayer)}
    assert list(wrappers) == ["conv", "depthwise", "pointwise", "classes"]
    assert wrappers["conv"].batchnorm.name == "conv_bn"
    assert wrappers["depthwise"].activation.name == "depthwise_relu"
    assert wrappers["pointwise"].batchnorm is None
    rest = {layer.name for layer in qat.layers}
    assert not {"conv_bn", "conv_relu", "depthwise_relu"} & rest


def test_training_path_equals_folded_path_per_channel(trained):
    """BN(conv(x, round(k))) with the moving statistics is the folded convolution."""
    wrapper = parts(ek.quantize_aware(trained), QuantizedLayer)[0]
    x = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
    folded = np.asarray(wrapper(x))
    norm = wrapper.batchnorm
    plain = np.asarray(norm(wrapper._linear(x, False), training=False))
    np.testing.assert_allclose(np.maximum(plain, 0), folded, atol=1e-4)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_batch_statistics_are_used_and_followed_while_training(kind):
    first = layers.Conv2D(4, 1, name="l") if kind == "conv" else layers.Dense(4, name="l")
    shape = (4, 4, 3) if kind == "conv" else (3,)
    model = keras.Sequential(
        [keras.Input(shape), first, layers.BatchNormalization(momentum=0.0, name="bn")]
    )
    qat = ek.quantize_aware(model)
    x = np.random.default_rng(0).normal(3, 2, (64, *shape)).astype("float32")
    y = np.asarray(qat(x, training=True))
    axes = tuple(range(y.ndim - 1))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=0.05)
    np.testing.assert_allclose(y.std(axis=axes), 1, atol=0.05)
    norm = ek.strip(qat).get_layer("bn")
    assert np.abs(np.asarray(norm.moving_mean)).max() > 0.1
    # With the statistics of that batch, inference computes what training computed.
    np.testing.assert_allclose(np.asarray(qat(x)), y, atol=0.08)


def test_every_weight_trains(trained, data):
    x, y = data
    qat = ek.quantize_aware(trained)
    before = [np.asarray(v).copy() for v in qat.trainable_variables]
    qat.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    qat.fit(x, y, verbose=0)
    for old, variable in zip(before, qat.trainable_variables, strict=True):
        assert np.abs(np.asarray(variable) - old).max() > 0, variable.path
    assert len(qat.trainable_variables) == len(trained.trainable_variables)


def test_frozen_batchnorm_stays_frozen(trained, data):
    x, y = data
    source = ek.strip(trained)
    source.get_layer("conv_bn").trainable = False
    qat = ek.quantize_aware(source)
    norm = parts(qat, QuantizedLayer)[0].batchnorm
    mean = np.asarray(norm.moving_mean).copy()
    qat.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    qat.fit(x, y, verbose=0)
    np.testing.assert_array_equal(np.asarray(norm.moving_mean), mean)


def test_regularisers_still_count():
    dense = layers.Dense(3, kernel_regularizer="l2", kernel_initializer="ones")
    qat = ek.quantize_aware(keras.Sequential([keras.Input((4,)), dense]))
    qat(np.ones((1, 4), "float32"))
    assert float(sum(qat.losses)) == pytest.approx(0.12)


def test_shared_layer_is_wrapped_once_and_called_twice():
    x = keras.Input((8, 8, 4))
    conv = layers.Conv2D(4, 3, padding="same", name="twice")
    qat = ek.quantize_aware(keras.Model(x, conv(conv(x))))
    (wrapper,) = parts(qat, QuantizedLayer)
    assert len(wrapper._inbound_nodes) == 2
    assert len(parts(qat, FakeQuantize)) == 3


def test_shared_layer_takes_in_only_what_follows_every_call():
    x = keras.Input((8, 8, 4))
    conv, norm = layers.Conv2D(4, 3, padding="same", name="twice"), layers.BatchNormalization()
    first = layers.ReLU(name="first")(norm(conv(x)))
    model = keras.Model(x, layers.ReLU(6.0, name="second")(norm(conv(first))))
    qat = ek.quantize_aware(model)
    (wrapper,) = parts(qat, QuantizedLayer)
    assert wrapper.batchnorm.name == norm.name
    assert wrapper.activation is None
    assert {"first", "second"} <= {layer.name for layer in qat.layers}
    plain = ek.strip(qat)
    assert len(plain.weights) == len(model.weights)


def test_selected_layers_only(cnn, data):
    qat = ek.quantize_aware(cnn, layers=["^conv", "^classes$"])
    assert [w.layer.name for w in parts(qat, QuantizedLayer)] == ["conv", "classes"]
    assert qat.get_layer("depthwise").name == "depthwise"
    assert np.isfinite(qat.predict(data[0], verbose=0)).all()


def test_saves_and_loads_as_keras(trained_qat, data, tmp_path):
    """TFMOT's .keras reload fails (its fault 14)."""
    trained_qat.save(tmp_path / "qat.keras")
    again = keras.models.load_model(tmp_path / "qat.keras")
    x, y = data
    np.testing.assert_array_equal(again.predict(x, verbose=0), trained_qat.predict(x, verbose=0))
    again.compile("adam", "sparse_categorical_crossentropy")
    again.fit(x, y, verbose=0)


def test_several_inputs_and_outputs_keep_their_names():
    a, b = keras.Input((4, 4, 2), name="a"), keras.Input((4, 4, 2), name="b")
    x = layers.Concatenate()([a, b])
    x = layers.Conv2D(3, 1)(x)
    outputs = {"map": x, "score": layers.Dense(1)(layers.Flatten()(x))}
    qat = ek.quantize_aware(keras.Model({"a": a, "b": b}, outputs))
    data = {n: np.random.default_rng(0).random((2, 4, 4, 2)).astype("float32") for n in "ab"}
    found = qat.predict(data, verbose=0)
    assert set(found) == {"map", "score"}


def test_an_activation_behind_two_layers_is_one_layer_again(tmp_path):
    act = layers.ReLU(name="act")
    x = keras.Input((8, 8, 4))
    y = act(layers.Conv2D(4, 3)(act(layers.Conv2D(4, 3)(x))))
    qat = ek.quantize_aware(keras.Model(x, y))
    qat.save(tmp_path / "q.keras")
    for model in (qat, keras.models.load_model(tmp_path / "q.keras")):
        plain = ek.strip(model)
        assert len(plain.get_layer("act")._inbound_nodes) == 2


def test_a_batchnorm_behind_two_layers_stands_alone():
    norm = layers.BatchNormalization(name="norm")
    x = keras.Input((8, 8, 4))
    y = norm(layers.Conv2D(4, 3)(norm(layers.Conv2D(4, 3)(x))))
    qat = ek.quantize_aware(keras.Model(x, y))
    (wrapper,) = parts(qat, QuantizedBatchNorm)
    assert len(wrapper._inbound_nodes) == 2
    assert all(layer.batchnorm is None for layer in parts(qat, QuantizedLayer))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_trains_in_mixed_precision(policy):
    """TFMOT raises a TypeError here (its fault 15)."""
    keras.mixed_precision.set_global_policy(policy)
    try:
        x = keras.Input((8, 8, 3))
        y = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(x))
        y = layers.BatchNormalization()(layers.SeparableConv2D(4, 3)(y))
        y = layers.Dense(4)(layers.Flatten()(y))
        model = keras.Model(x, layers.BatchNormalization()(y))
        qat = ek.quantize_aware(model)
        qat.compile("sgd", "mse")
        data = np.random.default_rng(0).random((32, 8, 8, 3)).astype("float32")
        loss = qat.fit(data, np.zeros((32, 4)), verbose=0, epochs=2).history["loss"]
        assert np.isfinite(loss).all()
        assert np.isfinite(qat.predict(data, verbose=0)).all()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_what_stays_float_is_named_in_one_warning():
    x = keras.Input((8, 8, 4))
    y = keras.ops.sin(layers.Conv2D(4, 3, name="conv")(x)) / keras.ops.abs(x[:, 1:-1, 1:-1])
    with pytest.warns(UserWarning, match="leaves in float") as found:
        ek.quantize_aware(keras.Model(x, y))
    (message,) = [str(w.message) for w in found if "leaves in float" in str(w.message)]
    assert "(Sin): LiteRT has no integer kernel for it" in message
    assert "division by a tensor" in message
    assert "conv:" not in message


def test_channels_first_is_named():
    x = keras.Input((3, 8, 8))
    model = keras.Model(x, layers.ZeroPadding2D(data_format="channels_first", name="pad")(x))
    with pytest.warns(UserWarning, match="pad .* data_format='channels_first' has no integer"):
        ek.quantize_aware(model)


def test_float_layers_read_what_the_file_would_give_them(cnn, data):
    """The output of an integer layer is rounded, whoever reads it."""
    qat = ek.quantize_aware(cnn, layers="^conv$")
    conv = qat.get_layer("quant_conv")
    (reader,) = {node.operation for node in conv._outbound_nodes}
    assert isinstance(reader, FakeQuantize)


def test_schemes_per_layer(cnn):
    qat = ek.quantize_aware(cnn, {"^conv$|classes": "int8", "depthwise$|pointwise": "int4"})
    bits = {w.layer.name: w.scheme.weight_bits for w in parts(qat, QuantizedLayer)}
    assert bits == {"conv": 8, "depthwise": 4, "pointwise": 4, "classes": 8}
    assert qat.get_layer("add").name == "add"
    assert "pool_range" not in {layer.name for layer in qat.layers}  # matched by none: float


def test_nested_models_stay_nested():
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="inside"), layers.ReLU(name="act")],
        name="inner",
    )
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Dense(2, name="head")(layers.Flatten()(inner(x))))
    qat = ek.quantize_aware(model)
    assert isinstance(qat.get_layer("inner"), keras.Model)
    assert [w.layer.name for w in parts(qat, QuantizedLayer)] == ["inside", "head"]
    only_inner = ek.quantize_aware(model, layers="inner")
    assert [w.layer.name for w in parts(only_inner, QuantizedLayer)] == ["inside"]
    plain = ek.strip(qat)
    assert [layer.name for layer in plain.get_layer("inner").layers][1:] == ["inside", "act"]
    for old, new in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(old), np.asarray(new))


def test_dropout_inside_a_composite_follows_the_training_flag():
    x = keras.Input((6, 8))
    model = keras.Model(x, layers.MultiHeadAttention(2, 4, dropout=0.5)(x, x))
    qat = ek.quantize_aware(model)
    data = np.random.default_rng(0).normal(size=(4, 6, 8)).astype("float32")
    qat(data, training=True)
    first, second = (np.asarray(qat(data, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0
    np.testing.assert_array_equal(np.asarray(qat(data)), np.asarray(qat(data)))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda m: ek.quantize_aware(m, "int7"), "`scheme` must be one of"),
        (lambda m: ek.quantize_aware("m.keras"), "must be a Keras 3 model. Received: 'm.keras'"),
        (lambda m: ek.strip(None), "must be a Keras 3 model"),
        (lambda m: ek.quantize_aware(m, {}), "must not be an empty dict"),
        (lambda m: ek.quantize_aware(m, {"nothing": "int8"}), "which matches no layer"),
        (lambda m: ek.quantize_aware(m, {"conv": "int7"}), "`scheme` must be one of"),
        (lambda m: ek.quantize_aware(m, layers="nothing"), "matches no layer"),
        (lambda m: ek.quantize_aware(ek.quantize_aware(m)), "quantisation-aware already"),
    ],
)
def test_bad_arguments(cnn, call, match):
    with pytest.raises(ValueError, match=match):
        call(cnn)


def test_the_format_is_the_one_that_was_asked_for(tmp_path):
    """Normalizations have more ranges of 16 bits inside than such a net has of 8."""
    x = keras.Input((4, 4, 8))
    y = layers.GroupNormalization(2)(layers.LayerNormalization()(x))
    model = keras.Model(x, layers.Dense(2, name="head")(layers.LayerNormalization()(y)))
    data = np.random.default_rng(0).normal(size=(16, 4, 4, 8)).astype("float32")
    qat = ek.quantize_aware(model, "int8")
    qat(data, training=True)
    qat.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    dtypes = ek.inspect(ek.convert(loaded, "int8")["int8"]).op_dtypes
    assert dtypes["int8"] > 0
    assert "float32" not in dtypes
    for scheme, message in (
        (
            types.MappingProxyType({"head": "int4", "": "int8"}),
            "trained for int4 cannot become int8",
        ),
        ({"head": "int16x8", "": "int8"}, "trained for int8 and int16x8 cannot become int4"),
    ):
        qat = ek.quantize_aware(model, scheme)
        qat(data, training=True)
        with pytest.raises(ValueError, match=message):
            ek.convert(qat, re.findall(r"int\w+", message)[-1])
