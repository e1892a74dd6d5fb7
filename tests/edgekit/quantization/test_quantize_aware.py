"""quantize_aware: which values it rounds, what it trains, what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.quantization import FakeQuantize, QuantizedLayer


def parts(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


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
    other = layers.BatchNormalization(name="other")
    with pytest.raises(ValueError, match="other .a BatchNormalization can be folded only"):
        ek.quantize_aware(keras.Model(x, other(conv(norm(conv(x))))))


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


def test_a_batchnorm_behind_two_layers_is_refused():
    norm = layers.BatchNormalization(name="norm")
    x = keras.Input((8, 8, 4))
    y = norm(layers.Conv2D(4, 3)(norm(layers.Conv2D(4, 3)(x))))
    with pytest.raises(ValueError, match="norm .a BatchNormalization can be folded only"):
        ek.quantize_aware(keras.Model(x, y))


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


def test_all_unsupported_layers_are_named_with_what_can_be_done():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, activation="elu", name="strange"),
            layers.GroupNormalization(2, name="norm"),
            layers.Conv2D(4, 3, activation="relu", name="fine"),
            layers.BatchNormalization(name="late_bn"),
        ],
        name="m",
    )
    with pytest.raises(ValueError, match="cannot quantise") as error:
        ek.quantize_aware(model)
    text = str(error.value)
    assert "strange" in text
    assert "'elu'" in text
    assert "norm (GroupNormalization is not supported)" in text
    assert "`layers=`" in text
    with pytest.raises(ValueError, match="late_bn"):
        ek.quantize_aware(model, layers="fine|late_bn")
    assert ek.quantize_aware(model, layers="fine")


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda m: ek.quantize_aware(m, "int7"), "`scheme` must be one of"),
        (lambda m: ek.quantize_aware("m.keras"), "must be a Keras 3 model. Received: 'm.keras'"),
        (lambda m: ek.strip(None), "must be a Keras 3 model"),
        (lambda m: ek.quantize_aware(keras.Model(m.input, m.output * 2.0)), "use a layer instead"),
        (lambda m: ek.quantize_aware(keras.Model(m.input, m(m.input))), "a nested model"),
        (lambda m: ek.quantize_aware(m, layers="nothing"), "matches no layer"),
        (lambda m: ek.quantize_aware(ek.quantize_aware(m)), "quantisation-aware already"),
    ],
)
def test_bad_arguments(cnn, call, match):
    with pytest.raises(ValueError, match=match):
        call(cnn)
