"""Logits through whatever stands behind a head, against NumPy: heads × what follows × models."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import edgekit as ek
from edgekit.distillation import computation

D = ek.distillation
X = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype("float32")
TEMPERATURE = 3.0


def binary(values):
    """Yes and no of each sigmoid."""
    return np.stack([values, 1 - values], axis=-1)


def same(values):
    return values


# What stands behind a head of 4×4 places and 6 channels, and its classes brought to the last axis.
FOLLOWS = {
    "nothing": (lambda p: p, same),
    "Reshape": (lambda p: layers.Reshape((-1, 6))(p), same),
    "Reshape, classes apart": (
        lambda p: layers.Reshape((16, 2, 3))(p),
        lambda a: a.reshape(len(a), 16, 6),
    ),
    "Flatten": (lambda p: layers.Flatten()(p), lambda a: a.reshape(len(a), 16, 6)),
    "Permute": (lambda p: layers.Permute((3, 1, 2))(p), lambda a: np.moveaxis(a, 1, -1)),
    "Permute, Flatten": (
        lambda p: layers.Flatten()(layers.Permute((3, 1, 2))(p)),
        lambda a: np.moveaxis(a.reshape(len(a), 6, 16), 1, -1),
    ),
    "UpSampling2D": (lambda p: layers.UpSampling2D(2)(p), same),
    "Concatenate": (
        lambda p: layers.Concatenate(axis=1)([layers.Reshape((16, 6))(p), p[:, 0], p[:, 1]]),
        same,
    ),
    "Concatenate, flat": (
        lambda p: layers.Concatenate()([layers.Flatten()(p), layers.Flatten()(p[:, :2])]),
        lambda a: a.reshape(len(a), 24, 6),
    ),
    "Cropping2D": (lambda p: layers.Cropping2D(1)(p), same),
    "split": (lambda p: ops.split(p, 2, axis=1)[1], same),
    "stack": (lambda p: ops.stack([p[:, 0], p[:, 2]], axis=-1), lambda a: np.moveaxis(a, 2, -1)),
    "repeat, flip": (lambda p: ops.flip(ops.repeat(p, 2, axis=2), axis=1), same),
    "Dropout, Identity": (lambda p: layers.Identity()(layers.Dropout(0.5)(p)), same),
    "clip, cast": (lambda p: ops.cast(ops.clip(p, 1e-7, 1 - 1e-7), "float32"), same),
    "average pooling": (lambda p: layers.GlobalAveragePooling2D()(p), same),
}
HEADS = {
    "softmax": lambda x: layers.Conv2D(6, 1, activation="softmax")(x),
    "sigmoid": lambda x: ops.sigmoid(layers.Conv2D(6, 1)(x)),
}


def net(head, follow, seed):
    keras.utils.set_random_seed(seed)
    image = keras.Input((4, 4, 3))
    return keras.Model(image, FOLLOWS[follow][0](HEADS[head](image)))


class Own(keras.Model):
    """A subclassed model."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def call(self, x, training=None):
        return self.inside(x, training=training)


def subclassed(model):
    found = Own(model)
    found(X[:1])
    return found


def nested(model):
    return keras.Sequential([keras.Input((4, 4, 3)), model, layers.Activation("linear")])


def function(model):
    return lambda x: model(x).numpy()


def losses(distiller, x=X):
    """The loss of a step, eagerly and in a graph."""
    distiller.compile("sgd")

    def run(x):
        return distiller.compute_loss(x, None, distiller(x, training=True), None, training=True)

    return [float(run(tf.constant(x))), float(tf.function(run)(tf.constant(x)))]


def soft_targets(teacher, student):
    """Hinton et al., section 2, of probabilities `(…, classes)`, in float64."""
    soft = []
    for p in (teacher, student):
        z = np.log(p.astype("float64")) / TEMPERATURE
        e = np.exp(z - z.max(-1, keepdims=True))
        soft.append(e / e.sum(-1, keepdims=True))
    p, q = soft
    return TEMPERATURE**2 * (p * np.log(p / q)).sum(-1).mean()


@pytest.mark.parametrize("follow", FOLLOWS)
@pytest.mark.parametrize("head", HEADS)
def test_logits_are_found_behind_whatever_moves_values(head, follow):
    teacher, student = net(head, follow, 1), net(head, follow, 2)
    last = binary if head == "sigmoid" else FOLLOWS[follow][1]
    expected = soft_targets(*(last(model(X).numpy()) for model in (teacher, student)))
    pairs = [(student, teacher), (nested(student), function(teacher))]
    for pair in pairs:
        distiller = ek.distill(*pair, D.SoftTargets(TEMPERATURE), 0)
        assert losses(distiller) == pytest.approx([expected] * 2, rel=1e-4), pair


SIGMOIDS = {
    "1 - p": lambda p: 1.0 - p,
    "of no and of yes": lambda p: layers.Concatenate()([1.0 - p, p]),
    "the smallest": lambda p: ops.min(p, axis=(1, 2)),
}


@pytest.mark.parametrize("follow", SIGMOIDS)
def test_sigmoids_turned_round_and_chosen(follow):
    teacher, student = (net("sigmoid", "nothing", seed) for seed in (1, 2))
    models = [keras.Model(m.inputs[0], SIGMOIDS[follow](m.outputs[0])) for m in (student, teacher)]
    expected = soft_targets(*(binary(model(X).numpy()) for model in models[::-1]))
    distiller = ek.distill(*models, D.SoftTargets(TEMPERATURE), 0)
    assert losses(distiller) == pytest.approx([expected] * 2, rel=1e-4)


NORMALIZED = {
    "in a loop": lambda z: tf.map_fn(tf.nn.softmax, z),
    "by their sum": lambda z: tf.nn.softplus(z) / tf.reduce_sum(tf.nn.softplus(z), -1, True),
}


@pytest.mark.parametrize("kind", NORMALIZED)
def test_probabilities_made_in_other_ways_are_no_logits(kind):
    teacher, student = (dense(NORMALIZED[kind], 6, seed) for seed in (1, 2))
    p, q = (np.maximum(model(ROWS).numpy(), 1e-37) for model in (teacher, student))
    distiller = ek.distill(student, teacher, D.SoftTargets(TEMPERATURE), 0)
    assert losses(distiller, ROWS) == pytest.approx([soft_targets(p, q)] * 2, rel=1e-4)


def dense(kind, units=4, seed=0, **options):
    """One Dense layer on 6 numbers."""
    keras.utils.set_random_seed(seed)
    row = keras.Input((6,))
    return keras.Model(row, layers.Dense(units, kind, name="z", **options)(row))


def with_bias(kind, bias):
    model = dense(kind, len(bias), kernel_initializer=keras.initializers.Constant(1e-3))
    model.get_layer("z").bias.assign(bias)
    return model


ROWS = np.ones((4, 6), "float32")


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_quantization_aware_student_learns_as_the_float_one_does(kind):
    """Its probabilities are rounded to 0, whose logarithm has no gradient."""
    teacher = with_bias(kind, [6.0, 0, 0, 0])
    found = []
    for wrap in (same, ek.quantize_aware):
        student = wrap(with_bias(kind, [-9.0, 4, 3, 2]))
        distiller = ek.distill(student, teacher, D.SoftTargets(1), 0)
        distiller.compile(keras.optimizers.SGD(0.3))
        history = distiller.fit(ROWS, epochs=40, batch_size=4, verbose=0).history["loss"]
        found.append((history[0], history[-1]))
    np.testing.assert_allclose(found[1], found[0], rtol=0.1, atol=0.02)
    assert found[1][1] < 0.2 * found[1][0]


@pytest.mark.parametrize("scheme", ["int8", "int16x8", ek.QuantScheme(estimator="lsq")])
def test_rounding_behind_moves_is_passed(scheme):
    """Up to what is rounded before the activation, the loss is that of the float student."""

    def make(seed):
        keras.utils.set_random_seed(seed)
        image = keras.Input((4, 4, 3))
        x = layers.Conv2D(6, 1, activation="sigmoid")(image)
        x = layers.Concatenate(axis=1)([layers.UpSampling2D(2)(x), layers.UpSampling2D(2)(x)])
        return keras.Model(image, layers.Reshape((-1, 2, 3))(x))

    teacher, student = make(1), make(2)
    loss = D.SoftTargets(1)
    expected = losses(ek.distill(student, teacher, loss, 0), 8 * X)
    found = losses(ek.distill(ek.quantize_aware(student, scheme), teacher, loss, 0), 8 * X)
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_small_probabilities_of_floats_count_in_full():
    """A teacher that shows nothing but probabilities, as a function or a `.tflite` does."""
    logits = np.array([30.0, 0, -30, -50], "float32")
    teacher, student = with_bias("softmax", logits), with_bias("softmax", [0.0, 0, 0, 0])
    z = logits / 20
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    expected = 400 * (p * np.log(p * 4)).sum()
    for each in (teacher, function(teacher)):
        distiller = ek.distill(student, each, D.SoftTargets(20), 0)
        assert losses(distiller, ROWS) == pytest.approx([expected] * 2, rel=1e-3)


def test_a_rounded_probability_is_known_to_half_a_step():
    teacher, student = dense("softmax", seed=1), dense("softmax", seed=2)

    def rounded(x):
        return np.round(teacher(5 * x).numpy() * 256).clip(0, 255) / 256

    rows = np.random.default_rng(1).normal(size=(16, 6)).astype("float32")
    p, q = np.maximum(rounded(rows), 1 / 512), student(rows).numpy()
    assert (p == 1 / 512).any()
    expected = soft_targets(p, q)
    distiller = ek.distill(student, rounded, D.SoftTargets(TEMPERATURE), 0)
    assert losses(distiller, rows) == pytest.approx([expected] * 2, rel=1e-4)


def test_looking_leaves_nothing_in_a_model():
    model = dense("softmax", activity_regularizer="l2")
    ek.distill(model, dense("softmax", seed=1))
    assert model.losses == []


def test_parts_with_different_activations_are_numbers():
    def make(seed):
        keras.utils.set_random_seed(seed)
        row = keras.Input((6,))
        parts = [layers.Dense(4)(row), layers.Dense(3, "sigmoid")(row)]
        return keras.Model(row, layers.Concatenate(name="boxes")(parts))

    student, teacher = make(1), make(2)
    distiller = ek.distill(student, teacher, student_weight=0)
    rows = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
    expected = np.square(student(rows).numpy() - teacher(rows).numpy()).mean()
    assert losses(distiller, rows) == pytest.approx([expected] * 2, rel=1e-5)
    with pytest.raises(ValueError, match="parts of output 'boxes' end in different activations"):
        ek.distill(student, teacher, D.SoftTargets())


@pytest.mark.parametrize("axis", [1, -2])
def test_a_softmax_along_another_axis(axis):
    """Of a student, of a teacher that is a function, and of one that gives its logits."""

    def make(seed, activation):
        keras.utils.set_random_seed(seed)
        image = keras.Input((4, 4, 3))
        return keras.Model(image, activation(layers.Conv2D(5, 1)(image)))

    student = make(1, lambda z: ops.softmax(z, axis=axis))
    p = make(2, lambda z: ops.softmax(z, axis=axis))
    z, logs = make(2, same), make(2, lambda z: ops.log_softmax(z, axis=axis))
    moved = [np.moveaxis(model(X).numpy(), axis, -1) for model in (p, student)]
    expected = soft_targets(*moved)
    for teacher in (
        p,
        function(p),
        z,
        logs,
        ek.distillation.Ensemble([p, make(2, lambda z: ops.softmax(z, axis=axis))], "geometric"),
    ):
        distiller = ek.distill(student, teacher, D.SoftTargets(TEMPERATURE), 0)
        assert losses(distiller) == pytest.approx([expected] * 2, rel=1e-4)
    with pytest.raises(ValueError, match="softmaxes along different axes"):
        ek.distill(student, make(2, ops.softmax))


@pytest.mark.parametrize(("steps", "told"), [(256, True), (2**15, False)])
def test_probabilities_of_an_integer_file_are_said_to_be_coarse(recwarn, steps, told):
    model = net("softmax", "nothing", 1)

    def rounded(x):
        return np.round(model(x).numpy() * steps) / np.float32(steps)

    ek.distill(net("softmax", "nothing", 2), rounded, D.SoftTargets(20), 0)
    said = [str(w.message) for w in recwarn if "in steps of" in str(w.message)]
    assert bool(said) is told
    assert all("in steps of 0.0039: probabilities below 0.002 are lost" in text for text in said)


def test_without_records_of_eager_operations_logits_are_inverted_and_that_is_said(monkeypatch):
    monkeypatch.setattr(computation, "op_callbacks", None)
    teacher, student = net("softmax", "nothing", 1), net("softmax", "nothing", 2)
    expected = soft_targets(*(model(X).numpy() for model in (teacher, student)))
    distiller = ek.distill(student, teacher, D.SoftTargets(TEMPERATURE), 0)
    with pytest.warns(UserWarning, match="does not tell which operations run eagerly"):
        assert losses(distiller) == pytest.approx([expected] * 2, rel=1e-4)
