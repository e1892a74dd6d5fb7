"""The table of patterns: what people build, each as a function of symbolic tensors."""

import keras
import numpy as np
from keras import layers, ops


def conv(filters=8, size=3, **options):
    return layers.Conv2D(filters, size, padding="same", **options)


def adapted(x):
    statistics = layers.Normalization()
    statistics.adapt(np.random.default_rng(0).normal(2, 0.5, (64, *x.shape[1:])))
    return conv(4)(statistics(x))


def batchnorm():
    return layers.BatchNormalization(
        beta_initializer=keras.initializers.RandomNormal(stddev=0.3),
        gamma_initializer=keras.initializers.RandomUniform(-1.5, 1.5),
    )


@keras.saving.register_keras_serializable(package="test")
class Projection(layers.Layer):
    """A layer of a user's own, in keras.ops."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 5), name="kernel")
        self.offset = self.add_weight(shape=(5,), name="offset")

    def call(self, inputs):
        return ops.relu(ops.matmul(inputs, self.kernel) + self.offset) * 0.5


@keras.saving.register_keras_serializable(package="test")
class Block(layers.Layer):
    """A layer of layers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.conv = conv(4, use_bias=False)
        self.norm = batchnorm()
        self.dropout = layers.Dropout(0.1)

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build(input_shape)

    def call(self, inputs, training=None):
        x = self.norm(self.conv(inputs), training=training)
        return inputs + ops.relu(self.dropout(x, training=training))


@keras.saving.register_keras_serializable(package="test")
class InTensorFlow(layers.Layer):
    """A layer that Keras cannot follow."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 5), name="kernel")

    def call(self, inputs):
        import tensorflow as tf

        return tf.nn.relu(tf.matmul(inputs, tf.convert_to_tensor(self.kernel)))


def backbone():
    image = keras.Input((8, 8, 4))
    x = batchnorm()(layers.ReLU()(layers.Conv2D(6, 3)(image)))
    return keras.Model(image, layers.MaxPooling2D(2)(x))


def twice(image):
    shared = backbone()
    return layers.Add()([shared(image), shared(image[:, ::-1])])


def squeeze_and_excite(x):
    gates = layers.Dense(2, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gates = layers.Dense(4, activation="sigmoid")(gates)
    return layers.Multiply()([x, layers.Reshape((1, 1, 4))(gates)])


def mobilenet_v3_swish(x):
    y = layers.Conv2D(6, 3)(x)
    return y * (layers.ReLU(6.0)(y + 3.0) * (1.0 / 6.0))


def transformer(x):
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8, dropout=0.1)(x, x))
    y = layers.Dense(16)(layers.Dense(32, activation="gelu")(x))
    return layers.LayerNormalization()(x + y)


IMAGE = {
    "conv": lambda x: conv()(x),
    "conv_relu_inside": lambda x: conv(activation="relu")(x),
    "conv_strided_dilated": lambda x: layers.Conv2D(6, 3, dilation_rate=2)(
        layers.Conv2D(6, 3, strides=2, padding="valid")(layers.ZeroPadding2D(3)(x))
    ),
    "conv_grouped": lambda x: conv(8, groups=2)(x),
    "conv_grouped_bn": lambda x: batchnorm()(conv(8, groups=4)(x)),
    "conv_bn": lambda x: batchnorm()(conv(use_bias=False)(x)),
    "conv_bias_bn_relu": lambda x: layers.ReLU()(batchnorm()(conv()(x))),
    "conv_bn_relu6": lambda x: layers.ReLU(6.0)(batchnorm()(conv()(x))),
    "conv_bn_activation": lambda x: layers.Activation("relu6")(batchnorm()(conv()(x))),
    "conv_relu6_inside": lambda x: conv(activation="relu6")(x),
    "conv_leaky_relu": lambda x: layers.LeakyReLU(0.2)(conv()(x)),
    "conv_leaky_inside": lambda x: conv(activation="leaky_relu")(x),
    "conv_sigmoid": lambda x: conv(activation="sigmoid")(x),
    "conv_tanh": lambda x: layers.Activation("tanh")(conv()(x)),
    "conv_swish_inside": lambda x: conv(activation="swish")(x),
    "conv_bn_swish": lambda x: layers.Activation("silu")(batchnorm()(conv()(x))),
    "swish_operation": lambda x: ops.silu(conv()(x)),
    "swish_function": lambda x: keras.activations.silu(conv()(x)),
    "hard_swish": lambda x: layers.Activation("hard_silu")(conv()(x)),
    "hard_swish_mobilenet_v3": mobilenet_v3_swish,
    "hard_sigmoid": lambda x: conv(activation="hard_sigmoid")(x),
    "gelu": lambda x: conv(activation="gelu")(x),
    "gelu_layer": lambda x: layers.Activation("gelu")(batchnorm()(conv()(x))),
    "prelu": lambda x: layers.PReLU("random_normal", shared_axes=[1, 2])(conv()(x)),
    "softplus": lambda x: conv(activation="softplus")(x),
    "mish": lambda x: conv(activation="mish")(x),
    "exponential": lambda x: layers.Dense(4, activation="exponential")(x),
    "glu": lambda x: layers.Activation("glu")(x),
    "softmax_over_rows": lambda x: layers.Softmax(axis=1)(x),
    "relu_alone": lambda x: layers.ReLU()(layers.MaxPooling2D(2)(conv()(x))),
    "relu_max_value": lambda x: layers.ReLU(max_value=3.0)(x),
    "relu_negative_slope": lambda x: layers.ReLU(negative_slope=0.1)(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "depthwise_multiplier_bn": lambda x: batchnorm()(
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False)(x)
    ),
    "depthwise_bn_relu6": lambda x: layers.ReLU(6.0)(
        batchnorm()(layers.DepthwiseConv2D(3, strides=2, padding="same")(x))
    ),
    "depthwise_swish": lambda x: layers.DepthwiseConv2D(3, activation="swish")(x),
    "separable": lambda x: layers.SeparableConv2D(6, 3, padding="same")(x),
    "separable_bn_relu": lambda x: layers.ReLU()(
        batchnorm()(layers.SeparableConv2D(6, 3, padding="same", use_bias=False)(x))
    ),
    "transpose": lambda x: layers.Conv2DTranspose(5, 3, strides=2)(x),
    "transpose_relu_inside": lambda x: layers.Conv2DTranspose(
        5, 4, strides=2, padding="same", activation="relu"
    )(x),
    "transpose_bn_relu": lambda x: layers.ReLU()(
        batchnorm()(layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x))
    ),
    "dense": lambda x: layers.Dense(5)(layers.Flatten()(x)),
    "dense_bn": lambda x: batchnorm()(layers.Dense(7)(layers.Flatten()(x))),
    "dense_bn_relu": lambda x: layers.ReLU()(batchnorm()(layers.Dense(12)(layers.Flatten()(x)))),
    "dense_relu_bn": lambda x: batchnorm()(layers.Dense(7, activation="relu")(layers.Flatten()(x))),
    "dense_bn_swish": lambda x: layers.Activation("swish")(batchnorm()(layers.Dense(6)(x))),
    "dense_on_images": lambda x: layers.Dense(5, activation="relu")(x),
    "dense_softmax": lambda x: layers.Dense(5, activation="softmax")(layers.Flatten()(x)),
    "softmax_layer": lambda x: layers.Softmax()(layers.Dense(5)(layers.Flatten()(x))),
    "bn_first": lambda x: batchnorm()(x),
    "bn_relu_first": lambda x: conv(4)(layers.ReLU()(batchnorm()(x))),
    "bn_after_relu": lambda x: batchnorm()(layers.ReLU()(conv()(x))),
    "add": lambda x: layers.Add()([conv(4)(x), x]),
    "add_relu": lambda x: layers.ReLU()(layers.Add()([conv(4)(x), batchnorm()(conv(4)(x))])),
    "add_three": lambda x: layers.Add()([x, conv(4)(x), conv(4)(x)]),
    "multiply": lambda x: layers.Multiply()([x, conv(4)(x)]),
    "multiply_three": lambda x: layers.Multiply()([x, x, conv(4)(x)]),
    "subtract": lambda x: layers.Subtract()([x, conv(4)(x)]),
    "average": lambda x: layers.Average()([x, conv(4)(x)]),
    "maximum": lambda x: layers.Maximum()([x, conv(4)(x)]),
    "minimum": lambda x: layers.Minimum()([x, conv(4)(x)]),
    "plus": lambda x: x + conv(4)(x),
    "plus_relu": lambda x: ops.relu(x + conv(4)(x)),
    "plus_array": lambda x: x + np.linspace(-1, 1, 4).astype("float32"),
    "times_number": lambda x: x * 0.3,
    "number_minus": lambda x: 1.0 - x,
    "divided_by_number": lambda x: x / 3.0,
    "negative": lambda x: -x,
    "square": lambda x: x**2,
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "sum": lambda x: ops.sum(x, axis=-1),
    "max": lambda x: ops.max(x, axis=-1),
    "absolute": lambda x: ops.abs(x),
    "exp": lambda x: ops.exp(x),
    "clip": lambda x: ops.clip(x, -0.5, 0.5),
    "slice": lambda x: x[:, 1:4, :, ::2],
    "split": lambda x: ops.split(x, 2, axis=-1)[1],
    "stack": lambda x: ops.stack([x, x * 2.0], 1),
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "concatenate": lambda x: layers.Concatenate()([conv(4, activation="relu")(x), conv(3)(x)]),
    "concatenate_pooled": lambda x: layers.Concatenate()(
        [layers.MaxPooling2D(2)(conv(4)(x)), layers.Conv2D(4, 2, strides=2)(x)]
    ),
    "concatenate_probabilities": lambda x: layers.Concatenate()(
        [layers.Softmax()(x), layers.Activation("sigmoid")(x)]
    ),
    "max_pool": lambda x: layers.MaxPooling2D(2)(conv()(x)),
    "average_pool": lambda x: layers.AveragePooling2D(2)(conv()(x)),
    "average_pool_same": lambda x: layers.AveragePooling2D(3, strides=2, padding="same")(x),
    "global_average_pool": lambda x: layers.GlobalAveragePooling2D()(conv()(x)),
    "global_max_pool": lambda x: layers.GlobalMaxPooling2D()(conv()(x)),
    "views": lambda x: layers.Reshape((4, -1))(
        layers.Permute((2, 1, 3))(layers.Cropping2D(1)(layers.Dropout(0.1)(conv()(x))))
    ),
    "upsample_nearest": lambda x: layers.UpSampling2D(2)(x),
    "upsample_bilinear": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x),
    "resizing": lambda x: layers.Resizing(5, 5)(x),
    "resizing_nearest": lambda x: layers.Resizing(12, 12, interpolation="nearest")(x),
    "rescaling": lambda x: layers.Rescaling(0.5, offset=-0.3)(x),
    "rescaling_conv": lambda x: conv(4)(layers.Rescaling(0.5)(x)),
    "normalization": lambda x: layers.Normalization(
        mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 0.5, 0.7]
    )(x),
    "adapted": lambda x: adapted(x),
    "augmentation": lambda x: conv(4)(layers.RandomFlip()(layers.GaussianNoise(0.1)(x))),
    "layer_norm": lambda x: layers.LayerNormalization()(conv(6)(x)),
    "group_norm": lambda x: layers.GroupNormalization(2)(conv(6)(x)),
    "unit_norm": lambda x: layers.UnitNormalization()(layers.Flatten()(x)),
    "squeeze_and_excite": squeeze_and_excite,
    "residual": lambda x: conv(2)(layers.ReLU()(layers.Add()([x, batchnorm()(conv(4)(x))]))),
    "reused": lambda x: (lambda c, p: layers.Add()([c(x), p(c(x))]))(conv(4), layers.Dropout(0.0)),
    "half_zero": lambda x: conv(name="half_zero", bias_initializer="ones")(x),
    "nested": lambda x: backbone()(x),
    "nested_twice": twice,
    "custom_layer": lambda x: Projection()(x),
    "custom_block": lambda x: Block()(x),
    "custom_in_tensorflow": lambda x: InTensorFlow()(x),
    "lambda": lambda x: layers.Lambda(lambda y: y * 2.0 + 1.0)(x),
}
SEQUENCE = {
    "conv1d": lambda x: layers.Conv1D(8, 3)(x),
    "conv1d_relu_bn": lambda x: batchnorm()(layers.Conv1D(8, 3, activation="relu")(x)),
    "conv1d_bn_relu": lambda x: layers.ReLU()(batchnorm()(layers.Conv1D(8, 3, use_bias=False)(x))),
    "conv1d_causal": lambda x: layers.Conv1D(8, 3, padding="causal", dilation_rate=2)(x),
    "separable_1d": lambda x: layers.SeparableConv1D(8, 3)(x),
    "depthwise_1d": lambda x: layers.DepthwiseConv1D(3, padding="same")(x),
    "transpose_1d": lambda x: layers.Conv1DTranspose(6, 3, strides=2)(x),
    "transpose_1d_bn": lambda x: batchnorm()(layers.Conv1DTranspose(6, 3, strides=2)(x)),
    "max_pool_1d": lambda x: layers.MaxPooling1D(2)(x),
    "average_pool_1d": lambda x: layers.AveragePooling1D(2)(x),
    "global_average_pool_1d": lambda x: layers.GlobalAveragePooling1D()(x),
    "upsample_1d": lambda x: layers.UpSampling1D(2)(x),
    "bn_1d": lambda x: batchnorm()(x),
    "einsum_dense": lambda x: layers.EinsumDense(
        "abc,cd->abd", (None, 6), bias_axes="d", activation="relu"
    )(x),
    "einsum_heads": lambda x: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")(x),
    "layer_norm_1d": lambda x: layers.LayerNormalization()(x),
    "rms_norm": lambda x: layers.RMSNormalization()(x),
    "unit_norm_of_steps": lambda x: layers.UnitNormalization(axis=1)(x),
    "attention": lambda x: layers.Attention()([x, x]),
    "multi_head_attention": lambda x: layers.MultiHeadAttention(2, 4)(x, x),
    "transformer": transformer,
    "time_distributed": lambda x: layers.TimeDistributed(layers.Dense(5, activation="relu"))(x),
    "dot": lambda x: layers.Dot((2, 2))([x, layers.Dense(16)(x)]),
    "cosine": lambda x: layers.Dot((2, 2), normalize=True)([x, layers.Dense(16)(x)]),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "normalize": lambda x: ops.normalize(layers.Dense(6)(x)),
    "repeat_vector": lambda x: layers.RepeatVector(3)(layers.GlobalMaxPooling1D()(x)),
    "spatial_dropout": lambda x: layers.SpatialDropout1D(0.2)(x),
    "lstm": lambda x: layers.LSTM(6)(x),
    "gru": lambda x: layers.GRU(6, return_sequences=True)(x),
    "gru_reset_before": lambda x: layers.GRU(6, reset_after=False)(x),
    "simple_rnn": lambda x: layers.SimpleRNN(6)(x),
    "bidirectional": lambda x: layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x),
    "bidirectional_sum": lambda x: layers.Bidirectional(layers.GRU(5), merge_mode="sum")(x),
}
IDS = {
    "embedding": lambda i: layers.Embedding(20, 6)(i),
    "embedding_dense": lambda i: layers.Dense(3)(layers.Flatten()(layers.Embedding(20, 6)(i))),
}
PATTERNS = {**IMAGE, **SEQUENCE, **IDS}

# What LiteRT's reference kernels lack, and its other kernels have.
NOT_IN_REFERENCE = {
    "elu": lambda x: layers.ELU()(conv()(x)),
    "elu_inside": lambda x: conv(activation="elu")(x),
    "selu": lambda x: conv(activation="selu")(x),
}
# What stays float, and the ops that do.
FLOAT = {
    "division": (lambda x: x / (ops.abs(x) + 1.0), {"DIV"}),
    "sqrt": (lambda x: ops.sqrt(ops.abs(x)), {"SQRT"}),
    "sin": (lambda x: ops.sin(x), {"SIN"}),
    "conv3d": (lambda x: layers.Conv3D(2, 3)(layers.Reshape((8, 8, 4, 1))(x)), {"CONV_3D"}),
}


def model_of(image=(), sequence=(), ids=()) -> keras.Model:
    """One model with an output per pattern, so that one conversion serves them all."""
    inputs = {
        "image": keras.Input((8, 8, 4), name="image"),
        "sequence": keras.Input((4, 16), name="sequence"),
        "ids": keras.Input((5,), dtype="int32", name="ids"),
    }
    outputs = {}
    for name, patterns in (("image", image), ("sequence", sequence), ("ids", ids)):
        for key, pattern in dict(patterns).items():
            outputs[key] = layers.Identity(name=f"{key}_out")(pattern(inputs[name]))
    return keras.Model(list(inputs.values()), outputs)


def data(samples: int, seed: int) -> dict[str, np.ndarray]:
    """Inputs for `model_of`."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.normal(size=(samples, 8, 8, 4)).astype("float32"),
        "sequence": rng.normal(size=(samples, 4, 16)).astype("float32"),
        "ids": rng.integers(0, 20, (samples, 5)).astype("int32"),
    }
