import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from tests.conftest import make_cnn


def widths(model):
    return {layer.name: layer.output.shape[-1] for layer in model.layers if layer.trainable_weights}


def test_hidden_layers_are_narrower_and_outputs_are_not():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, name="conv")(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.SeparableConv2D(12, 3, name="separable")(x)
    x = layers.Dense(10, activation=ops.relu, name="hidden")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(4, activation="softmax", name="classes")(x))
    before = [np.array(v) for v in model.get_weights()]
    small = ek.narrow(model, 0.5)
    assert widths(small) == {"conv": 8, "bn": 8, "separable": 6, "hidden": 5, "classes": 4}
    assert small.get_layer("hidden").activation is ops.relu
    assert widths(ek.narrow(model, 2))["conv"] == 32
    assert widths(ek.narrow(model, 0.3, divisor=4)) == {
        **{"conv": 4, "bn": 4, "separable": 4, "hidden": 4},
        "classes": 4,
    }
    assert widths(ek.narrow(model, 0.5, keep="sepa"))["separable"] == 12
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_added_to_an_input_keeps_its_width():
    inputs = keras.Input((16,))
    x = layers.Dense(32, name="wide")(inputs)
    x = layers.ReLU()(layers.Dense(16, name="narrow")(x))
    x = inputs + layers.Dropout(0.1)(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    found = widths(ek.narrow(model, 0.25))
    assert (found["wide"], found["narrow"]) == (8, 16)


def test_outputs_behind_flatten_and_softmax_layers_stay():
    image = keras.Input((4, 4, 8))
    x = layers.Conv2D(10, 4, name="classes")(layers.Conv2D(8, 1)(image))
    model = keras.Model(image, layers.Softmax()(layers.Flatten()(x)))
    assert ek.narrow(model, 0.5).output_shape == (None, 10)


@pytest.mark.parametrize("groups", [4, 16])
def test_groups(groups):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(32, 3, groups=groups, name="grouped")(layers.Conv2D(16, 1)(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    grouped = ek.narrow(model, 0.5).get_layer("grouped")
    assert grouped.filters == 16
    assert grouped.groups == (8 if groups == 16 else 4)  # a group per channel stays one


def test_squeeze_and_excite_sequences_and_nested_models():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same")(image)
    s = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(x))
    x = x * layers.Conv2D(16, 1, activation="sigmoid")(layers.Conv2D(4, 1)(s))
    body = keras.Sequential([keras.Input((8, 8, 16)), layers.Conv2D(24, 3)], name="body")
    x = layers.Reshape((36, 24))(body(x))
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(6))(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    small = ek.narrow(model, 0.5)
    assert small.count_params() < 0.4 * model.count_params()
    x = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    assert small.predict(x, verbose=0).shape == (2, 2)


def make_blocks(stages=(3, 2), residual=True):
    x = image = keras.Input((16, 16, 3))
    for number, blocks in enumerate(stages):
        x = layers.Conv2D(8 << number, 3, strides=2, padding="same", name=f"down_{number}")(x)
        for block in range(blocks):
            y = layers.Conv2D(8 << number, 3, padding="same", name=f"c_{number}_{block}")(x)
            y = layers.Dropout(0.1 * block)(layers.BatchNormalization()(y))
            x = layers.ReLU()(layers.Add()([x, y]) if residual else y)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4, name="classes")(x))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("depth", "left"),
    [(1, "00 01 02 10 11"), (0.5, "00 01 10"), (0.01, "00 10"), (2 / 3, "00 01 10 11")],
)
def test_equal_blocks_are_left_out(residual, depth, left):
    small = ek.narrow(make_blocks(residual=residual), 1, depth)
    found = [layer.name for layer in small.layers if layer.name.startswith("c_")]
    assert found == [f"c_{name[0]}_{name[1]}" for name in left.split()]
    assert small.output_shape == (None, 4)


def test_with_width_and_depth_1_it_computes_the_same(cnn, data):
    again = ek.narrow(cnn, 1)
    again.set_weights(cnn.get_weights())
    x, _ = data
    np.testing.assert_array_equal(again.predict(x, verbose=0), cnn.predict(x, verbose=0))


def test_a_narrow_student_learns_from_the_wide_one(data):
    teacher = make_cnn()
    student = ek.narrow(teacher, 0.5)
    names = ek.distillation.Hints("pointwise"), ek.distillation.AttentionTransfer("conv")
    distiller = ek.distill(student, teacher, list(names))
    distiller.compile("adam", "sparse_categorical_crossentropy")
    assert np.isfinite(distiller.fit(*data, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    "last", [layers.UnitNormalization(), layers.GaussianNoise(0.1), layers.Rescaling(2.0)]
)
def test_outputs_keep_their_width_behind_any_layer_that_does(last):
    image = keras.Input((6,))
    model = keras.Model(image, last(layers.Dense(8)(layers.Dense(8)(image))))
    assert ek.narrow(model, 0.5).output_shape == (None, 8)


def test_an_output_that_would_change_is_refused():
    image = keras.Input((6,))
    joined = layers.Concatenate()([layers.Dense(4)(image), layers.Dense(4)(image)])
    with pytest.raises(ValueError, match=r"shape \(None, 4\) in place of \(None, 8\)"):
        ek.narrow(keras.Model(image, joined), 0.5)


def test_blocks_of_nested_models_are_left_out_and_none_is_said():
    image = keras.Input((16, 16, 3))
    wrapped = keras.Model(image, layers.Dense(2)(make_blocks()(image)))
    names = [layer.name for layer in ek.narrow(wrapped, 1, 0.5).layers]
    assert [name for name in names if name.startswith("c_")] == ["c_0_0", "c_0_1", "c_1_0"]
    with pytest.warns(UserWarning, match="depth=0.5 has no effect"):
        ek.narrow(make_cnn(), 1, 0.5)


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "net"}, TypeError, "Keras 3 model. Received: str"),
        ({"model": Subclassed()}, ValueError, "is subclassed"),
        ({"width": 0}, ValueError, "width=0"),
        ({"width": "half"}, ValueError, "width='half'"),
        ({"depth": 1.5}, ValueError, "above 0 to 1. Received: depth=1.5"),
        ({"divisor": 0}, ValueError, "divisor=0"),
        ({"keep": "nothing"}, ValueError, "`keep` holds 'nothing', which matches no layer"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(cnn, change, error, message):
    with pytest.raises(error, match=message):
        ek.narrow(**{"model": cnn, **change})


def test_what_does_not_fit_is_named():
    inputs = keras.Input((8,))
    x = layers.Reshape((4, 5), name="shape")(layers.Dense(20)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(ValueError, match="'shape' does not take .* `keep` those"):
        ek.narrow(model, 0.3)
    assert ek.narrow(model, 0.3, keep="dense").output_shape == (None, 2)


def test_shapes_follow_the_channels():
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(64, 3, strides=2, padding="same")(image)
    steps = layers.Reshape((-1, 64), name="steps")(x)
    flat = keras.ops.reshape(x, (-1, 4096))
    outputs = [layers.Dense(3)(layers.GRU(8)(steps)), layers.Dense(2)(flat)]
    small = ek.narrow(keras.Model(image, outputs), 0.5)
    assert small.get_layer("steps").output.shape == (None, 64, 32)
    assert [tuple(y.shape) for y in small(np.zeros((10, 16, 16, 1)))] == [(10, 3), (10, 2)]
    fixed = keras.Model(image, layers.Dense(2)(keras.ops.reshape(x, (1, 4096))))
    with pytest.raises(ValueError, match="does not start with -1, the samples"):
        ek.narrow(fixed, 0.5)


def test_blocks_with_a_mask_beside_them_are_left_out():
    steps = keras.Input((8,), dtype="int32")
    x = layers.Embedding(20, 16, mask_zero=True)(steps)
    for number in range(4):
        attention = layers.MultiHeadAttention(2, 8, name=f"attention_{number}")
        x = layers.LayerNormalization()(layers.Add()([x, attention(x, x)]))
    model = keras.Model(steps, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))
    small = ek.narrow(model, 1, 0.5)
    kept = [layer.name for layer in small.layers if layer.name.startswith("attention")]
    assert kept == ["attention_0", "attention_1"]
    whole = ek.narrow(model, 1)
    sentence = np.array([[1, 2, 3, 0, 0, 0, 0, 0]])
    longer = np.array([[1, 2, 3, 0, 0, 0, 0, 0][::-1]])
    for net in (small, whole):  # the mask counts as before
        assert np.abs(net(sentence) - net(longer)).max() < 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        layers.ConvLSTM2D(16, 3, padding="same"),
        layers.TimeDistributed(layers.SpectralNormalization(layers.Conv2D(16, 3))),
    ],
)
def test_layers_around_others_are_narrower(layer):
    model = keras.Sequential([keras.Input((4, 8, 8, 3)), layer, layers.Flatten(), layers.Dense(3)])
    assert ek.narrow(model, 0.5).count_params() < 0.6 * model.count_params()
