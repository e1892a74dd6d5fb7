import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.pipeline.verify import Difference, Verification, _difference


def test_a_trained_model_and_its_file_agree(trained_qat, files, data, tmp_path):
    path = files["qat"].save(tmp_path / "m.tflite")
    found = ek.verify(trained_qat, path, data[0])
    (output,) = found.outputs
    assert output.share_beyond_one < 0.01  # a step before softmax may be two after it
    assert found.first_departure is None
    assert found.top1_agreement >= 0.99
    assert [layer.name for layer in found.layers][:2] == ["image_range", "conv_relu_range"]
    roundings = [
        layer
        for layer in trained_qat._flatten_layers(include_self=False)
        if isinstance(layer, ek.quantization.FakeQuantize)
    ]
    assert len(found.layers) == len(roundings)
    assert found.kernels == "reference"
    assert found.instead is None
    assert max(layer.largest for layer in found.layers) <= 2.01
    assert "no layer departs" in found.summary()
    assert found.table().row_count == len(found.layers) + 1


def test_the_layer_that_departs_is_named(trained_qat, files, data):
    broken = keras.models.clone_model(trained_qat)
    broken.set_weights(trained_qat.get_weights())
    kernel = broken.get_layer("quant_pointwise").layer.kernel
    kernel.assign(-kernel.value)
    found = ek.verify(broken, files["qat"], data[0])
    assert not found.exact
    assert found.first_departure.name == "pointwise_range"
    assert "first departs at pointwise_range" in found.summary()


def test_several_inputs_and_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    x = layers.Concatenate()([layers.Dense(3)(a), b])
    model = keras.Model([a, b], {"first": layers.Dense(2)(x), "second": layers.ReLU()(x)})
    qat = ek.quantize_aware(model)
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(40, n)).astype("float32") for n in (6, 4)]
    qat(x, training=True)
    file = ek.convert(qat, "int8")["int8"]
    found = ek.verify(qat, file, x)
    assert {d.name for d in found.outputs} == {"first", "second"}
    assert found.exact
    assert found.top1_agreement is None
    assert ek.verify(qat, file, {"b": x[1], "a": x[0]}) == found


def test_inputs_by_name_of_a_model_that_takes_a_dict():
    """Its order is another than that of the names."""
    inputs = {"b": keras.Input((6,), name="b"), "a": keras.Input((6,), name="a")}
    joined = layers.Concatenate(name="joined")([inputs["a"], inputs["b"]])
    qat = ek.quantize_aware(keras.Model(inputs, layers.Dense(2, name="head")(joined)))
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(40, 6)).astype("float32") * n for name, n in (("a", 1), ("b", 9))}
    qat(x, training=True)
    found = ek.verify(qat, ek.convert(qat, "int8")["int8"], x)
    assert found.exact
    assert [layer.name for layer in found.layers] == ["joined_range", "head"]


def encoder():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = layers.Flatten()(layers.Conv2D(2, 3, strides=2)(x))
    return keras.Model(inputs, layers.Dense(4, name="code")(x), name="encoder")


@pytest.fixture(scope="module")
def nested():
    """A model called twice, inside of a model and twice nested; its file and data."""
    keras.utils.set_random_seed(0)
    shared, other = encoder(), keras.Input((8, 8, 2))
    middle = keras.Model(other, layers.ReLU(name="clipped")(shared(other)), name="middle")
    first, second = keras.Input((8, 8, 2), name="first"), keras.Input((8, 8, 2), name="second")
    difference = layers.Subtract(name="difference")([middle(first), shared(second)])
    qat = ek.quantize_aware(keras.Model([first, second], layers.Dense(2, name="head")(difference)))
    x = [np.random.default_rng(i).normal(size=(32, 8, 8, 2)).astype("float32") for i in range(2)]
    qat(x, training=True)
    return qat, ek.convert(qat, "int8")["int8"], x


def test_nested_models_are_looked_into(nested):
    qat, file, x = nested
    found = ek.verify(qat, file, x)
    names = [layer.name for layer in found.layers]
    assert "middle/encoder/conv_range" in names
    assert "encoder/conv_range" in names
    assert any(name.startswith("middle/clipped") for name in names)
    assert all(layer.largest <= 1.01 for layer in found.layers if "conv_range" in layer.name)


def test_the_layer_that_departs_in_a_nested_model_is_named(nested):
    qat, file, x = nested
    wrapper = next(layer for layer in qat._flatten_layers() if layer.name == "quant_conv")
    kernel = wrapper.layer.kernel.numpy()
    wrapper.layer.kernel.assign(-kernel)
    try:
        assert "encoder/conv_range" in ek.verify(qat, file, x).first_departure.name
    finally:
        wrapper.layer.kernel.assign(kernel)


def test_a_model_called_twice_is_compared_call_by_call():
    shared = encoder()
    first, second = keras.Input((8, 8, 2), name="first"), keras.Input((8, 8, 2), name="second")
    model = keras.Model([first, second], layers.Subtract()([shared(first), shared(second)]))
    qat = ek.quantize_aware(model)
    x = [np.random.default_rng(i).normal(size=(32, 8, 8, 2)).astype("float32") for i in range(2)]
    qat(x, training=True)
    found = ek.verify(qat, ek.convert(qat, "int8")["int8"], x)
    calls = [layer for layer in found.layers if "encoder/conv_range" in layer.name]
    assert [layer.name for layer in calls] == ["encoder/conv_range", "encoder/conv_range, call 2"]
    assert all(layer.largest <= 1.01 for layer in calls)


MOVED = {
    "flattened": lambda x: layers.Flatten()(x),
    "reshaped": lambda x: keras.ops.reshape(x, (-1, 24, 4)),
    "transposed": lambda x: layers.Permute((3, 1, 2))(x),
}


@pytest.fixture(scope="module")
def moved():
    """One model with a rounding before each of `MOVED`, and its file."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 6, 3), name="image")
    outputs = {}
    for name, move in MOVED.items():
        x = layers.Conv2D(4, 3, activation="relu", name=f"before_{name}")(image)
        outputs[name] = layers.Dense(2, name=f"after_{name}")(move(x))
    qat = ek.quantize_aware(keras.Model(image, outputs))
    x = np.random.default_rng(0).normal(size=(32, 8, 6, 3)).astype("float32")
    qat(x, training=True)
    return qat, ek.convert(qat, "int8")["int8"], x


@pytest.mark.parametrize("name", MOVED)
def test_a_rounding_that_the_converter_moves_is_compared(moved, name):
    """It puts a reshaping or a transposition before the rounding that it follows."""
    qat, file, x = moved
    found = {layer.name: layer for layer in ek.verify(qat, file, x).layers}
    before = found[f"before_{name}_range"]
    assert before.largest <= 1.01
    scales = {tensor.scale for tensor in file.tensors(x[:1]).values()}
    assert before.step in scales

    kernel = qat.get_layer(f"quant_before_{name}").layer.kernel
    values = kernel.numpy()
    kernel.assign(-values)
    try:
        assert ek.verify(qat, file, x).first_departure.name == f"before_{name}_range"
    finally:
        kernel.assign(values)


def test_an_op_without_a_reference_kernel_is_verified_by_others():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="elu")])
    qat = ek.quantize_aware(model)
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    qat(x, training=True)
    found = ek.verify(qat, ek.convert(qat, "int8")["int8"], x)
    assert found.exact
    assert (found.kernels, found.instead) == ("builtin", "there is no reference kernel of ELU")
    assert "there is no reference kernel of ELU" in found.summary()


def test_the_summary_does_not_contradict_itself():
    same = Difference("y", 1.0, 0.1, 0.0, 0.5)
    inside = Difference("conv", 2.0, 0.1, 0.0031, 0.5)
    found = Verification((same,), (inside,), None, "reference")
    assert found.exact
    assert found.summary().endswith("no output departs (inside, 0.31% of conv)")
    assert (
        Verification((inside,), (inside,), None, "reference")
        .summary()
        .endswith("first departs at conv")
    )


def test_an_output_that_departs_alone_is_named():
    inside = Difference("conv", 1.0, 0.1, 0.0, 0.5)
    for step, ends in ((0.5, "the output y"), (None, "the output y, which is float in the file")):
        output = Difference("y", 3.0, 0.1, 0.5, step)
        found = Verification((output,), (inside,), None, "reference")
        assert not found.exact
        assert found.first_departure is output
        assert found.summary().endswith(f"first departs at {ends}")


@pytest.mark.parametrize(
    ("expected", "found", "departs"),
    [
        ([1.0, np.nan], [1.0, np.nan], False),
        ([1.0, 2.0], [1.0, np.nan], True),
        ([1.0, np.nan], [1.0, 2.0], True),
        ([1.0, np.inf], [1.0, np.inf], False),
        ([1.0, np.inf], [1.0, -np.inf], True),
        ([0.3, 0.3], [np.nextafter(np.float32(0.3), np.float32(1)), 0.3], False),
        ([1e4, 1e4 + 0.01], [1e4 + 0.002, 1e4 + 0.01], False),
        ([0.0, 1.0], [2e-5, 1.0], True),
    ],
)
def test_a_float_output_may_be_off_by_what_float32_holds(expected, found, departs):
    values = [np.asarray(values, "float32") for values in (expected, found)]
    assert _difference("y", *values, None).departs == departs


def test_bad_arguments(trained, trained_qat, files, data):
    with pytest.raises(ValueError, match="must be a Functional model from ek.quantize_aware"):
        ek.verify(trained, files["qat"], data[0])
    with pytest.raises(ValueError, match="`x`"):
        ek.verify(trained_qat, files["qat"], data[0][..., :2])
    other = keras.Sequential([keras.Input((3,), name="other"), layers.Dense(2)])
    qat = ek.quantize_aware(other)
    with pytest.raises(ValueError, match="are not those of the model"):
        ek.verify(qat, files["qat"], data[0])
