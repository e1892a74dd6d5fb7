"""Multiply-accumulates against sums over the operations that NumPy or a formula needs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek
from benchmarks.op_support.op_files import OneOp, Operand, one_op_file
from benchmarks.op_support.specs import one_op
from converters import Flatbuffer
from converters.executions import work
from converters.reader import read_model
from tests.converters.lite_files import lite_file


def macs(op: OneOp) -> int:
    return ek.inspect(Flatbuffer(one_op_file(op))).macs


def floats(*shape: int) -> Operand:
    return Operand(shape, "float32")


@pytest.mark.parametrize("adj_x", [False, True])
@pytest.mark.parametrize("adj_y", [False, True])
def test_matrices_are_multiplied_along_the_right_side(adj_x, adj_y):
    batch, rows, inner, columns = 2, 3, 4, 6
    left = floats(batch, inner, rows) if adj_x else floats(batch, rows, inner)
    right = floats(batch, columns, inner) if adj_y else floats(batch, inner, columns)
    options = {"adjX": adj_x, "adjY": adj_y}
    op = OneOp("BATCH_MATMUL", [left, right], [floats(batch, rows, columns)], options)
    assert macs(op) == batch * rows * inner * columns


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 3 steps of 4 gates, from 2 inputs and 4 states to 4 units.
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", 3 * 4 * (2 + 4) * 4),
        ("BIDIRECTIONAL_SEQUENCE_LSTM", 2 * 3 * 4 * (2 + 4) * 4),
        ("LSTM", 4 * (2 + 4) * 4),
        ("UNIDIRECTIONAL_SEQUENCE_RNN", 3 * (2 + 4) * 4),
        ("BIDIRECTIONAL_SEQUENCE_RNN", 2 * 3 * (2 + 4) * 4),
        ("RNN", (2 + 4) * 4),
        # 2 filters over 4 features, then over 3 steps.
        ("SVDF", 2 * 4 + 2 * 3),
        ("CONV_2D", 16 * 2 * 4),
        ("DEPTHWISE_CONV_2D", 16 * 2),
        ("TRANSPOSE_CONV", 16 * 2 * 4),
        ("CONV_3D", 8 * 2 * 4),
        ("CONV_3D_TRANSPOSE", 8 * 2 * 4),
        ("FULLY_CONNECTED", 2 * 4 * 4),
        ("BATCH_MATMUL", 2 * 4 * 4),
        ("ADD", 0),
    ],
)
def test_layers(name, expected):
    assert macs(one_op(name, "float32")) == expected


def test_transposed_convolution_with_stride():
    """Each input value meets each filter value once."""
    x = keras.Input((5, 5, 3))
    model = keras.Model(x, layers.Conv2DTranspose(4, 3, strides=2)(x))
    assert ek.inspect(ek.convert(model)["float32"]).macs == 5 * 5 * 3 * 3 * 3 * 4


def test_a_grouped_convolution():
    x = keras.Input((6, 6, 8))
    model = keras.Model(x, layers.Conv2D(8, 3, groups=4, padding="same")(x))
    assert ek.inspect(ek.convert(model)["float32"]).macs == 36 * 8 * 9 * 2


@pytest.fixture(scope="module")
def looped():
    """5 steps of a matrix of 3×3, as a loop, and one whose length depends on data."""
    matrix = np.eye(3, dtype="float32")

    def fixed(x):
        return tf.while_loop(lambda i, x: i < 5, lambda i, x: (i + 1, x @ matrix), (0, x))[1]

    def free(x):
        keep = lambda x: tf.reduce_sum(x) < 100  # noqa: E731
        return tf.while_loop(keep, lambda x: (x @ matrix + 1,), (x,))[0]

    spec = tf.TensorSpec([1, 3], name="x")
    return [ek.inspect(lite_file(function, spec)) for function in (fixed, free)]


def test_a_loop_counts_as_often_as_it_runs(looped):
    fixed, free = looped
    assert (fixed.macs, fixed.notes) == (5 * 9, [])
    assert free.macs == 9
    assert free.notes == ["a loop whose length depends on data counts as one step"]
    assert free.notes[0] in free.summary()


def test_nested_loops_multiply():
    matrix = np.eye(3, dtype="float32")

    def inner(x):
        return tf.while_loop(lambda i, x: i < 4, lambda i, x: (i + 2, x @ matrix), (0, x))[1]

    def outer(x):
        return tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, inner(x)), (0, x))[1]

    assert ek.inspect(lite_file(outer, tf.TensorSpec([1, 3], name="x"))).macs == 3 * 2 * 9


def test_of_two_branches_the_larger_counts():
    small, large = np.ones((3, 3), "float32"), np.ones((3, 5), "float32")

    def branches(x):
        return tf.cond(
            tf.reduce_sum(x) > 0, lambda: x @ small, lambda: (x @ large) @ tf.transpose(large)
        )

    report = ek.inspect(lite_file(branches, tf.TensorSpec([1, 3], name="x")))
    assert report.macs == 2 * 15
    assert report.notes == ["of two branches the larger counts"]


def test_what_is_not_counted_is_said():
    op = OneOp("MyMatrix", [floats(1, 3)], [floats(1, 3)], custom=True)
    found = work(read_model(one_op_file(op)))
    assert (found.macs, found.notes) == (0, ("not counted: 1 MyMatrix",))
