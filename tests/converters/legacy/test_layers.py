"""Every layer of tf_keras that has a counterpart, and what is said of those that have none."""

import keras
import numpy as np
import pytest

tk = pytest.importorskip("tf_keras")
L = tk.layers

IMAGE, SEQUENCE, ROW = (8, 8, 3), (7, 4), (6,)
CASES = {
    "Conv1D": (L.Conv1D(4, 3, dilation_rate=2, activation="elu"), SEQUENCE),
    "Conv1D causal": (L.Conv1D(4, 3, padding="causal"), SEQUENCE),
    "Conv2D": (L.Conv2D(4, 3, strides=2, padding="same", kernel_regularizer="l2"), IMAGE),
    "Conv2D groups": (L.Conv2D(6, 3, groups=3, use_bias=False), IMAGE),
    "Conv3D": (L.Conv3D(2, 2), (4, 4, 4, 2)),
    "Conv1DTranspose": (L.Conv1DTranspose(4, 3, strides=2), SEQUENCE),
    "Conv2DTranspose": (L.Conv2DTranspose(4, 3, strides=2, padding="same"), IMAGE),
    "Conv2DTranspose, output_padding": (L.Conv2DTranspose(4, 3, 2, output_padding=1), IMAGE),
    "Conv3DTranspose": (L.Conv3DTranspose(2, 2, strides=2), (3, 3, 3, 2)),
    "DepthwiseConv1D": (L.DepthwiseConv1D(3, depth_multiplier=2), SEQUENCE),
    "DepthwiseConv2D": (L.DepthwiseConv2D(3, padding="same", activation="relu6"), IMAGE),
    "SeparableConv1D": (L.SeparableConv1D(4, 3), SEQUENCE),
    "SeparableConv2D": (L.SeparableConv2D(4, 3, depth_multiplier=2), IMAGE),
    "Dense": (L.Dense(5, activation="swish"), ROW),
    "Dense on a sequence": (L.Dense(5, kernel_initializer="he_normal"), SEQUENCE),
    "EinsumDense": (L.EinsumDense("abc,cd->abd", output_shape=(7, 5), bias_axes="d"), SEQUENCE),
    "Embedding": (L.Embedding(9, 3, input_length=5), (5,)),
    "BatchNormalization": (L.BatchNormalization(), IMAGE),
    "BatchNormalization, first axis": (L.BatchNormalization(axis=1, scale=False), IMAGE),
    "SyncBatchNormalization": (L.experimental.SyncBatchNormalization(), IMAGE),
    "LayerNormalization": (L.LayerNormalization(), SEQUENCE),
    "LayerNormalization, two axes": (L.LayerNormalization(axis=[1, 2]), SEQUENCE),
    "GroupNormalization": (L.GroupNormalization(groups=3), IMAGE),
    "UnitNormalization": (L.UnitNormalization(), ROW),
    "ReLU": (L.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.3), ROW),
    "ThresholdedReLU": (L.ThresholdedReLU(theta=0.7), ROW),
    "LeakyReLU": (L.LeakyReLU(alpha=0.15), ROW),
    "PReLU": (L.PReLU(shared_axes=[1, 2]), IMAGE),
    "ELU": (L.ELU(alpha=0.7), ROW),
    "Softmax": (L.Softmax(axis=1), SEQUENCE),
    "MaxPooling1D": (L.MaxPooling1D(2), SEQUENCE),
    "MaxPooling2D": (L.MaxPooling2D(3, strides=2, padding="same"), IMAGE),
    "MaxPooling3D": (L.MaxPooling3D(2), (4, 4, 4, 2)),
    "AveragePooling2D": (L.AveragePooling2D(3, strides=2, padding="same"), IMAGE),
    "GlobalAveragePooling1D": (L.GlobalAveragePooling1D(), SEQUENCE),
    "GlobalAveragePooling2D": (L.GlobalAveragePooling2D(keepdims=True), IMAGE),
    "GlobalMaxPooling2D": (L.GlobalMaxPooling2D(), IMAGE),
    "ZeroPadding1D": (L.ZeroPadding1D(2), SEQUENCE),
    "ZeroPadding2D": (L.ZeroPadding2D(((1, 2), (0, 1))), IMAGE),
    "Cropping2D": (L.Cropping2D(((1, 2), (0, 1))), IMAGE),
    "UpSampling1D": (L.UpSampling1D(2), SEQUENCE),
    "UpSampling2D": (L.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    "Flatten": (L.Flatten(), IMAGE),
    "Reshape": (L.Reshape((4, -1)), IMAGE),
    "Permute": (L.Permute((2, 1)), SEQUENCE),
    "RepeatVector": (L.RepeatVector(3), ROW),
    "Dropout": (L.Dropout(0.5), ROW),
    "SpatialDropout2D": (L.SpatialDropout2D(0.5), IMAGE),
    "AlphaDropout": (L.AlphaDropout(0.5), ROW),
    "GaussianNoise": (L.GaussianNoise(0.5), ROW),
    "GaussianDropout": (L.GaussianDropout(0.5), ROW),
    "ActivityRegularization": (L.ActivityRegularization(l1=0.1), ROW),
    "Rescaling": (L.Rescaling(1 / 127.5, offset=-1), IMAGE),
    "Resizing": (L.Resizing(5, 6), IMAGE),
    "CenterCrop": (L.CenterCrop(5, 6), IMAGE),
    "Normalization": (L.Normalization(), ROW),
    "Normalization, given": (L.Normalization(mean=[1.0, 2, 3], variance=[2.0, 3, 4]), IMAGE),
    "RandomFlip": (L.RandomFlip("horizontal"), IMAGE),
    "RandomRotation": (L.RandomRotation(0.1), IMAGE),
    "RandomZoom": (L.RandomZoom(0.1), IMAGE),
    "RandomTranslation": (L.RandomTranslation(0.1, 0.1), IMAGE),
    "RandomContrast": (L.RandomContrast(0.1), IMAGE),
    "CategoryEncoding": (L.CategoryEncoding(num_tokens=9, output_mode="multi_hot"), (4,)),
    "Masking": (L.Masking(0.0), SEQUENCE),
    "LSTM": (L.LSTM(5, return_sequences=True), SEQUENCE),
    "LSTM of old": (L.LSTM(5, recurrent_activation="hard_sigmoid", implementation=1), SEQUENCE),
    "GRU": (L.GRU(5, go_backwards=True), SEQUENCE),
    "GRU of old": (L.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid"), SEQUENCE),
    "SimpleRNN": (L.SimpleRNN(5), SEQUENCE),
    "RNN of cells": (L.RNN([L.LSTMCell(5), L.GRUCell(3)]), SEQUENCE),
    "RNN": (L.RNN(L.SimpleRNNCell(5), unroll=True), SEQUENCE),
    "Bidirectional": (L.Bidirectional(L.LSTM(5), merge_mode="sum"), SEQUENCE),
    "Bidirectional, two kinds": (
        L.Bidirectional(L.LSTM(5), backward_layer=L.GRU(5, go_backwards=True)),
        SEQUENCE,
    ),
    "ConvLSTM2D": (L.ConvLSTM2D(3, 3), (4, 6, 6, 2)),
    "TimeDistributed": (L.TimeDistributed(L.Conv2D(3, 3)), (4, 6, 6, 2)),
    "TimeDistributed, a model": (
        L.TimeDistributed(
            tk.Sequential([L.Input(IMAGE), L.Conv2D(3, 3), L.BatchNormalization(), L.Flatten()])
        ),
        (2, *IMAGE),
    ),
}
ACTIVATIONS = [
    "relu",
    "softmax",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "swish",
    "gelu",
    "tanh",
    "sigmoid",
    "exponential",
    "hard_sigmoid",
    "linear",
    "mish",
]


@pytest.mark.parametrize("case", CASES)
def test_layers_answer_as_before(case):
    from converters.legacy import migrate

    layer, shape = CASES[case]
    layer = type(layer).from_config(layer.get_config())
    dtype = "int32" if type(layer).__name__ in ("Embedding", "CategoryEncoding") else "float32"
    model = with_random_weights(tk.Sequential([L.Input(shape, dtype=dtype), layer]))
    found = migrate(model)
    assert found.difference.relative < 1e-5
    assert [layer.name for layer in found.model.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_answer_as_before(name):
    from converters.legacy import migrate

    model = tk.Sequential([L.Input((6,)), L.Dense(5), L.Activation(name), L.Dense(4, name)])
    assert migrate(with_random_weights(model)).difference.relative < 1e-5


def with_random_weights(model):
    """Where all are drawn, those in a wrong place show."""
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def test_what_keras_3_builds_and_cannot_run_is_said_in_a_sentence():
    from converters.legacy import migrate

    old = tk.Sequential([L.Input(IMAGE), L.UpSampling2D(2, interpolation="gaussian")])
    with pytest.raises(ValueError, match=r"does not run in Keras 3: .*UpSampling2D.*gaussian$"):
        migrate(old)


def test_a_shape_that_keras_3_cannot_tell_is_asked_for():
    from converters.legacy import migrate

    class Scale(L.Layer):
        def call(self, inputs):
            return inputs * 2.0

    class NewScale(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2.0

    old = tk.Sequential([L.Input(SEQUENCE), L.TimeDistributed(Scale()), L.LSTM(3)])
    with pytest.raises(ValueError, match="TimeDistributed .*compute_output_shape"):
        migrate(old, {"Scale": (Scale, NewScale)})
    NewScale.compute_output_shape = lambda self, shape: shape
    assert migrate(old, {"Scale": (Scale, NewScale)}).difference.relative < 1e-6
