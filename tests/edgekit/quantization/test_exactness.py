"""What Keras says is what LiteRT computes: each pattern, op dtypes asserted, values compared.

All patterns share one model with an output each, so that one conversion serves them all.
"""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


def conv(filters=8, size=3, **options):
    return layers.Conv2D(filters, size, padding="same", **options)


def batchnorm():
    return layers.BatchNormalization(
        beta_initializer=keras.initializers.RandomNormal(stddev=0.3),
        gamma_initializer=keras.initializers.RandomUniform(-1.5, 1.5),
    )


PATTERNS = {
    "conv": lambda x: conv()(x),
    "conv_relu_inside": lambda x: conv(activation="relu")(x),
    "conv_strided_dilated": lambda x: layers.Conv2D(6, 3, dilation_rate=2)(
        layers.Conv2D(6, 3, strides=2, padding="valid")(layers.ZeroPadding2D(3)(x))
    ),
    "conv_grouped": lambda x: conv(8, groups=2)(x),
    "conv_bn": lambda x: batchnorm()(conv(use_bias=False)(x)),
    "conv_bias_bn_relu": lambda x: layers.ReLU()(batchnorm()(conv()(x))),
    "conv_bn_relu6": lambda x: layers.ReLU(6.0)(batchnorm()(conv()(x))),
    "conv_bn_activation": lambda x: layers.Activation("relu6")(batchnorm()(conv()(x))),
    "conv_leaky_relu": lambda x: layers.LeakyReLU(0.2)(conv()(x)),
    "conv_sigmoid": lambda x: conv(activation="sigmoid")(x),
    "conv_tanh": lambda x: layers.Activation("tanh")(conv()(x)),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "depthwise_multiplier_bn": lambda x: batchnorm()(
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False)(x)
    ),
    "depthwise_bn_relu6": lambda x: layers.ReLU(6.0)(
        batchnorm()(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    ),
    "separable": lambda x: layers.SeparableConv2D(6, 3, padding="same")(x),
    "separable_bn_relu": lambda x: layers.ReLU()(
        batchnorm()(layers.SeparableConv2D(6, 3, padding="same", use_bias=False)(x))
    ),
    "dense": lambda x: layers.Dense(5)(layers.Flatten()(x)),
    "dense_bn_relu": lambda x: layers.ReLU()(batchnorm()(layers.Dense(12)(layers.Flatten()(x)))),
    "dense_on_images": lambda x: layers.Dense(5, activation="relu")(x),
    "dense_softmax": lambda x: layers.Dense(5, activation="softmax")(layers.Flatten()(x)),
    "softmax_layer": lambda x: layers.Softmax()(layers.Dense(5)(layers.Flatten()(x))),
    "add": lambda x: layers.Add()([conv(4)(x), x]),
    "add_relu": lambda x: layers.ReLU()(layers.Add()([conv(4)(x), batchnorm()(conv(4)(x))])),
    "add_three": lambda x: layers.Add()([x, conv(4)(x), conv(4)(x)]),
    "half_zero": lambda x: conv(name="half_zero", bias_initializer="ones")(x),
    "concatenate": lambda x: layers.Concatenate()([conv(4, activation="relu")(x), conv(3)(x)]),
    "concatenate_pooled": lambda x: layers.Concatenate()(
        [layers.MaxPooling2D(2)(conv(4)(x)), layers.Conv2D(4, 2, strides=2)(x)]
    ),
    "max_pool": lambda x: layers.MaxPooling2D(2)(conv()(x)),
    "average_pool": lambda x: layers.AveragePooling2D(2)(conv()(x)),
    "global_average_pool": lambda x: layers.GlobalAveragePooling2D()(conv()(x)),
    "global_max_pool": lambda x: layers.GlobalMaxPooling2D()(conv()(x)),
    "views": lambda x: layers.Reshape((4, -1))(
        layers.Permute((2, 1, 3))(layers.Cropping2D(1)(layers.Dropout(0.1)(conv()(x))))
    ),
    "relu_alone": lambda x: layers.ReLU()(layers.MaxPooling2D(2)(conv()(x))),
    "residual": lambda x: conv(2)(layers.ReLU()(layers.Add()([x, batchnorm()(conv(4)(x))]))),
    "reused": lambda x: (lambda c, p: layers.Add()([c(x), p(c(x))]))(conv(4), layers.Dropout(0.0)),
}
# One step of a tensor inside is several steps of the output here: its grid is finer.
STEPS = {"conv_tanh": 4, "relu_alone": 2}
# Here values often lie halfway between two steps, or are rounded several times on the way.
LOOSER = {
    "add",
    "add_relu",
    "add_three",
    "average_pool",
    "concatenate_pooled",
    "conv_leaky_relu",
    "conv_strided_dilated",
    "conv_tanh",
    "global_average_pool",
    "residual",
    "reused",
    "separable",
    "separable_bn_relu",
}


@pytest.fixture(scope="module")
def compared():
    """`{pattern: (Keras output, LiteRT output, output step)}`, and what the file computes."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 4), name="image")
    outputs = {name: layers.Identity(name=f"{name}_out")(p(image)) for name, p in PATTERNS.items()}
    model = keras.Model(image, outputs)
    kernel, bias = model.get_layer("half_zero").get_weights()
    kernel[..., ::2] = 0  # as pruning leaves it; biases must not overflow, nor equal ones fail
    model.get_layer("half_zero").set_weights([kernel, bias])
    qat = ek.quantize_aware(model)
    rng = np.random.default_rng(0)
    for _ in range(3):
        qat(rng.normal(size=(64, 8, 8, 4)).astype("float32"), training=True)
    x = rng.normal(size=(100, 8, 8, 4)).astype("float32")
    expected = qat.predict(x, verbose=0)
    file = ek.convert(qat, ["int8"])["int8"]
    report = ek.inspect(file)
    found = file.predict(x, kernels="reference")
    steps = {edge.name: edge.scale for edge in report.outputs}
    return {n: (expected[n], found[n], steps[n]) for n in PATTERNS}, report


def test_every_op_is_int8(compared):
    _, report = compared
    assert set(report.op_dtypes) == {"int8"}
    assert report.float_islands == []
    assert all(edge.dtype == "int8" for edge in report.inputs + report.outputs)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_litert_computes_what_keras_says(compared, pattern):
    expected, found, step = compared[0][pattern]
    assert found.shape == expected.shape
    difference = np.abs(found - expected) / step
    allowed = STEPS.get(pattern, 1) + 0.01
    assert np.mean(difference > allowed) <= 0.001, f"largest {difference.max():.2f} steps"
    assert np.ptp(expected) > 5 * step  # there is something to compare
    if pattern not in LOOSER:
        assert np.mean(difference > 0.5) <= 0.02
