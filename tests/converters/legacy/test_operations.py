"""TensorFlow functions on symbolic tensors, before and after a file."""

import numpy as np
import pytest
import tensorflow as tf

tk = pytest.importorskip("tf_keras")

FUNCTIONS = {
    "arithmetic": lambda x: (2.0 - x * 3.0) / (x * x + 1.5) ** 0.5,
    "floor": lambda x: x // 0.3,
    "comparison": lambda x: tf.where(x > 0.1, x, -x),
    "logic": lambda x: tf.cast((x > 0) & ~(x > 1) | tf.equal(x, 0.0), "float32"),
    "maximum": lambda x: tf.maximum(x, 0.1) + tf.math.minimum(x, 0.2),
    "elementwise": lambda x: tf.exp(tf.abs(x)) + tf.square(x) + tf.sin(x) * tf.cos(x) - tf.sign(x),
    "roots": lambda x: tf.sqrt(tf.abs(x)) + tf.math.rsqrt(1 + tf.abs(x)) + tf.math.log(2 + x**2),
    "nn": lambda x: tf.nn.relu6(x + 3.0) * (1 / 6) + tf.nn.swish(x) + tf.nn.leaky_relu(x),
    "more nn": lambda x: tf.nn.elu(x) + tf.nn.selu(x) + tf.nn.gelu(x) + tf.nn.softplus(x),
    "softmax": lambda x: tf.nn.softmax(x, axis=1) + tf.nn.log_softmax(x),
    "sigmoid": lambda x: tf.sigmoid(x) + tf.nn.tanh(x) + tf.math.erf(x),
    "reductions": lambda x: (
        tf.reduce_mean(x, axis=[1, 2]) + tf.reduce_max(x, (1, 2)) - tf.reduce_sum(x, axis=[-2, 1])
    ),
    "spread": lambda x: tf.math.reduce_std(x, 1) + tf.math.reduce_variance(x, 1, keepdims=True),
    "norm": lambda x: tf.nn.l2_normalize(x, axis=-1),
    "slices": lambda x: x[:, 1:, ::2] + x[:, :-1, 0:1],
    "ellipsis": lambda x: x[..., tf.newaxis, 0],
    "flat": lambda x: tf.reshape(x, [tf.shape(x)[0], -1]),
    "shapes": lambda x: tf.transpose(tf.expand_dims(x, -1), (0, 3, 1, 2, 4)),
    "squeeze": lambda x: tf.squeeze(x[:, 1:2], axis=1),
    "concat": lambda x: tf.concat([x, x + 1.0], axis=-1),
    "stack": lambda x: tf.stack([x, x * 2.0], axis=1),
    "split": lambda x: tf.split(x, [1, 2], axis=-1)[1] + tf.split(x, 3, axis=-1)[0],
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]], constant_values=0.5),
    "mirror": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]], mode="REFLECT"),
    "resize": lambda x: tf.image.resize(x, (11, 7)),
    "nearest": lambda x: tf.image.resize(x, (8, 8), method="nearest"),
    "tile": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "gather": lambda x: tf.gather(x, [2, 0], axis=-1),
    "matmul": lambda x: tf.matmul(x, x, transpose_b=True),
    "matmul by a constant": lambda x: tf.matmul(x, tf.constant(np.eye(3, 2, dtype="float32"))),
    "depth to space": lambda x: tf.nn.depth_to_space(tf.concat([x, x, x, -x], -1), 2),
    "space to depth": lambda x: tf.nn.space_to_depth(x, 2),
    "one hot": lambda x: tf.one_hot(tf.argmax(x, axis=-1), 4),
    "one hot between": lambda x: tf.one_hot(tf.argmax(x, axis=-1), 3, 0.9, 0.05, axis=1),
    "top k": lambda x: tf.math.top_k(x, 2)[0],
    "average pooling": lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "maximum pooling": lambda x: tf.nn.max_pool2d(x, [1, 2, 2, 1], (1, 2), "VALID"),
    "cumulated": lambda x: tf.cumsum(x, axis=1),
    "remainder": lambda x: x % 0.3,
    "unstack": lambda x: tf.unstack(x, axis=1)[2],
    "reverse": lambda x: tf.reverse(x, axis=[1, 2]) + tf.roll(x, 1, axis=1),
    "sums": lambda x: tf.add_n([x, x, -x / 2]) + tf.reduce_logsumexp(x, axis=-1, keepdims=True),
    "differences": lambda x: tf.math.squared_difference(x, x[:, :1]),
    "any and all": lambda x: tf.cast(tf.reduce_any(x > 1, -1) | tf.reduce_all(x < 0, -1), "int32"),
    "bias": lambda x: tf.nn.bias_add(x, tf.constant([1.0, 2.0, 3.0])),
    "argmax": lambda x: tf.cast(tf.argmax(x, axis=-1), "float32"),
    "clip": lambda x: tf.clip_by_value(x, -0.5, 0.5),
    "constant": lambda x: x * tf.constant([1.0, 2.0, 3.0]) + np.float32(2),
    "likes": lambda x: x * tf.ones_like(x) + tf.zeros_like(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("from_file", [False, True])
def test_functions_answer_as_before(name, from_file, tmp_path):
    from converters.legacy import migrate

    image = tk.Input((4, 4, 3))
    # Layers of these names, as files hold them, beside operations that Keras would call so.
    x = tk.layers.Add(name="add")([image, tk.layers.Multiply(name="multiply")([image, image])])
    model = tk.Model(image, FUNCTIONS[name](x))
    if from_file:
        model.save(tmp_path / "model.h5")
        model = tk.models.load_model(tmp_path / "model.h5")
    found = migrate(model)
    assert found.difference.relative < 1e-6
    assert_loads(found.model, tmp_path)


def test_an_einsum_in_memory_answers_as_before():
    """Of a file tf_keras itself cannot read one: it leaves the inputs out."""
    from converters.legacy import migrate

    image = tk.Input((4, 4, 3))
    model = tk.Model(image, tf.einsum("bijc,bikc->bijk", image, image * 2.0))
    assert migrate(model).difference.relative < 1e-6


def assert_loads(model, folder):
    """What was carried over is a Keras model like others: its file needs nothing of edgekit."""
    import keras

    model.save(folder / "new.keras")
    again = keras.saving.load_model(folder / "new.keras")
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    np.testing.assert_array_equal(again(x), model(x))


def test_numbers_of_64_bits_stay_so():
    from converters.legacy import migrate

    image = tk.Input((4, 4, 3))
    (output,) = migrate(tk.Model(image, tf.argmax(image, axis=-1))).model.outputs
    assert output.dtype == "int64"


def test_a_function_without_counterpart_is_named():
    from converters.legacy import migrate

    image = tk.Input((4, 4, 3))
    model = tk.Model(image, tf.nn.lrn(tf.math.real(tf.signal.fft(tf.cast(image, "complex64")))))
    with pytest.raises(ValueError, match=r"no counterpart of tf\.signal\.fft .*tf\.nn\.l"):
        migrate(model)
