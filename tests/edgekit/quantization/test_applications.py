"""Whole nets of keras.applications: quantised, one train step, converted, every op in integers."""

import warnings

import keras
import numpy as np
import pytest

import edgekit as ek

NETS = [
    "MobileNetV2",
    "MobileNetV3Small",
    "EfficientNetB0",
    "ResNet50",
    "DenseNet121",
    "NASNetMobile",
    "Xception",
    "ConvNeXtTiny",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_op_becomes_integer(name):
    size = 71 if name == "Xception" else 32
    build = getattr(keras.applications, name)
    keras.utils.set_random_seed(0)
    model = build(weights=None, input_shape=(size, size, 3), classes=10)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="quantize_aware leaves in float")
        qat = ek.quantize_aware(model)
    assert len(qat.trainable_variables) == len(model.trainable_variables)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (4, size, size, 3)).astype("float32")
    qat.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    assert np.isfinite(qat.train_on_batch(x, np.arange(4)))
    report = ek.inspect(ek.convert(qat, ["int8"])["int8"])
    assert report.float_islands == []
    assert set(report.op_dtypes) <= {"int8", "int16"}  # 16 bits inside layer normalisation
    assert report.op_dtypes["int8"] > 20
    assert all(edge.dtype == "int8" for edge in report.inputs + report.outputs)
