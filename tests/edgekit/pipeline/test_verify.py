import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


def test_a_trained_model_and_its_file_agree(trained_qat, files, data, tmp_path):
    path = files["qat"].save(tmp_path / "m.tflite")
    found = ek.verify(trained_qat, path, data[0])
    (output,) = found.outputs
    assert output.share_beyond_one < 0.01  # a step before softmax may be two after it
    assert found.first_departure is None
    assert found.top1_agreement >= 0.99
    assert [layer.name for layer in found.layers][:2] == ["image_range", "conv_relu_range"]
    assert len(found.layers) == len(
        [x for x in trained_qat.layers if isinstance(x, ek.quantization.FakeQuantize)]
    )
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


def test_bad_arguments(trained, trained_qat, files, data):
    with pytest.raises(ValueError, match="must be a Functional model from ek.quantize_aware"):
        ek.verify(trained, files["qat"], data[0])
    with pytest.raises(ValueError, match="`x`"):
        ek.verify(trained_qat, files["qat"], data[0][..., :2])
    other = keras.Sequential([keras.Input((3,), name="other"), layers.Dense(2)])
    qat = ek.quantize_aware(other)
    with pytest.raises(ValueError, match="are not those of the model"):
        ek.verify(qat, files["qat"], data[0])
