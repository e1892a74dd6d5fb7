"""Each loss and its gradient against the paper's formula in NumPy, and what all have in common."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import edgekit as ek

D = ek.distillation
BATCH, CLASSES = 6, 5
LABELS = np.array([0, 3, 4, 1, 1, 2])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kl(p, q):
    return (p * np.log(p / q)).sum(-1)


def flat(a):
    return a.reshape(len(a), -1)


def soft_targets(t, s):  # Hinton et al., section 2, with T = 3
    return 9 * kl(softmax(t / 3), softmax(s / 3)).mean()


def logit_matching(t, s):  # Ba & Caruana, equation 1, over the classes
    return ((t - s) ** 2).mean()


def centred_logit_matching(t, s):
    return logit_matching(t - t.mean(-1, keepdims=True), s - s.mean(-1, keepdims=True))


def decoupled(t, s):  # Zhao et al., equation 7, with T = 4, α = 2 and β = 8
    rows = np.arange(BATCH)
    others = np.ones((BATCH, CLASSES), bool)
    others[rows, LABELS] = False
    p, q = softmax(t / 4), softmax(s / 4)
    pt, qt = p[rows, LABELS], q[rows, LABELS]
    target = kl(np.stack([pt, 1 - pt], -1), np.stack([qt, 1 - qt], -1))
    rest = [softmax(a[others].reshape(BATCH, -1) / 4) for a in (t, s)]
    return (16 * (2 * target + 8 * kl(*rest))).mean()


def hints(t, s):  # Romero et al., equation 3, over the elements
    return ((t - s) ** 2).mean()


def attention_transfer(t, s):  # Zagoruyko & Komodakis, section 3.1, F²sum
    maps = [flat((a**2).sum(-1)) for a in (t, s)]
    q = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in maps]
    return ((q[0] - q[1]) ** 2).mean()


def similarity_preserving(t, s):  # Tung & Mori, equations 1 to 4
    g = [flat(a) @ flat(a).T for a in (t, s)]
    g = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in g]
    return ((g[0] - g[1]) ** 2).sum() / BATCH**2


def huber(a, b):
    d = np.abs(a - b)
    return np.where(d < 1, d**2 / 2, d - 0.5).mean()


def distances(a):
    d = np.linalg.norm(a[:, None] - a[None], axis=-1)
    return d / d[d > 0].mean()


def angles(a):
    e = a[None] - a[:, None]
    length = np.linalg.norm(e, axis=-1, keepdims=True)
    e = np.divide(e, length, out=np.zeros_like(e), where=length > 0)
    return np.einsum("ijd,ikd->ijk", e, e)


def relational(t, s):  # Park et al., equations 6 and 8
    t, s = flat(t), flat(s)
    return 25 * huber(distances(t), distances(s)) + 50 * huber(angles(t), angles(s))


LOGITS, IMAGES = (BATCH, CLASSES), (BATCH, 2, 3, 4)
FORMULAS = {
    "soft targets": (D.SoftTargets(3), soft_targets, LOGITS),
    "logit matching": (D.LogitMatching(), logit_matching, LOGITS),
    "centred logits": (D.LogitMatching(centred=True), centred_logit_matching, LOGITS),
    "decoupled": (D.Decoupled(4, target=2, others=8), decoupled, LOGITS),
    "hints": (D.Hints("a"), hints, IMAGES),
    "attention": (D.AttentionTransfer("a"), attention_transfer, IMAGES),
    "similarity": (D.SimilarityPreserving("a"), similarity_preserving, IMAGES),
    "relational": (D.Relational("a"), relational, IMAGES),
}


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.standard_normal(shape)


def found(loss, t, s, **options):
    student = tf.Variable(s, dtype="float32")
    with tf.GradientTape() as tape:
        value = loss.compute_loss(tf.constant(t, "float32"), student, labels=LABELS, **options)
    return float(value), tape.gradient(value, student).numpy()


def slopes(formula, t, s, step=1e-6):
    """The gradient by central differences in float64."""
    gradient = np.empty_like(s)
    for place in np.ndindex(s.shape):
        up, down = s.copy(), s.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (formula(t, up) - formula(t, down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradient_are_those_of_the_paper(name):
    loss, formula, shape = FORMULAS[name]
    t, s = pair(shape)
    value, gradient = found(loss, t, s)
    assert value == pytest.approx(formula(t, s), rel=1e-5)
    expected = slopes(formula, t, s)
    np.testing.assert_allclose(gradient, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", FORMULAS)
def test_nothing_is_lost_on_a_student_that_is_the_teacher(name):
    loss, _, shape = FORMULAS[name]
    t, _ = pair(shape)
    value, gradient = found(loss, t, t)
    assert value == pytest.approx(0, abs=1e-5)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_saved_and_loaded_it_is_the_same(name):
    loss, _, shape = FORMULAS[name]
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    t, s = pair(shape)
    assert found(again, t, s)[0] == found(loss, t, s)[0]


@pytest.mark.parametrize("name", ["soft targets", "decoupled"])
def test_logits_may_be_huge(name):
    loss, _, shape = FORMULAS[name]
    t, s = pair(shape)
    value, gradient = found(loss, 1e4 * t, -1e4 * s)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["soft targets", "logit matching", "decoupled", "hints"])
def test_samples_of_weight_0_do_not_count(name):
    loss, _, shape = FORMULAS[name]
    t, s = pair(shape)
    weights = np.array([0, 1, 0, 2, 0, 0.0])
    _, gradient = found(loss, t, s, sample_weight=weights)
    _, plain = found(loss, t, s)
    for number, weight in enumerate(weights):
        np.testing.assert_allclose(gradient[number], weight * plain[number], rtol=1e-5, atol=1e-7)


def test_a_constant_added_to_all_logits_changes_nothing():
    t, s = pair(LOGITS)
    for loss in (D.SoftTargets(3), D.Decoupled(), D.LogitMatching(centred=True)):
        assert found(loss, t + 7, s)[0] == pytest.approx(found(loss, t, s)[0], rel=1e-4)


def test_gradients_of_soft_targets_keep_their_size_at_high_temperatures():
    """They come near those of logit matching, half and over the number of classes."""
    t, s = pair(LOGITS)
    t, s = (z - z.mean(-1, keepdims=True) for z in (t, s))
    _, hot = found(D.SoftTargets(1000), t, s)
    _, logits = found(D.LogitMatching(), t, s)
    np.testing.assert_allclose(hot, logits / 2, atol=2e-3 * np.abs(hot).max())


@pytest.mark.parametrize("labels", [LABELS[:, None], np.eye(CLASSES)[LABELS]], ids=["column", "1"])
def test_labels_may_be_one_hot(labels):
    loss, formula, shape = FORMULAS["decoupled"]
    t, s = pair(shape)
    value = float(loss.compute_loss(t.astype("f4"), s.astype("f4"), labels=labels))
    assert value == pytest.approx(formula(t, s), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: D.SoftTargets(0), ValueError, "temperature=0"),
        (lambda: D.SoftTargets("4"), ValueError, "temperature='4'"),
        (lambda: D.SoftTargets(float("nan")), ValueError, "temperature=nan"),
        (lambda: D.Decoupled(others=-1), ValueError, "others=-1"),
        (lambda: D.Relational("a", angle=-1), ValueError, "angle=-1"),
        (lambda: D.Hints(3), TypeError, "student_layer=3"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_keras_distiller_takes_them():
    """Outputs have to be logits there."""
    image = keras.Input((3,))
    nets = [keras.Model(image, keras.layers.Dense(4, name="d")(image)) for _ in range(2)]
    losses = [D.SoftTargets(2), D.Hints("d")]
    distiller = keras.distillation.Distiller(*nets, losses)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss)
    x = np.random.default_rng(0).random((8, 3)).astype("float32")
    assert np.isfinite(distiller.fit(x, np.arange(8) % 4, verbose=0).history["loss"][0])


def test_labels_of_several_classes_count_as_the_largest_and_no_class_is_left_out():
    rng = np.random.default_rng(3)
    t, s = rng.standard_normal((2, BATCH, CLASSES)).astype("float32")
    loss = D.Decoupled()
    hard = float(loss.compute_loss(t, s, labels=LABELS))
    one_hot = np.eye(CLASSES, dtype="float32")[LABELS]
    assert float(loss.compute_loss(t, s, labels=0.9 * one_hot + 0.02)) == pytest.approx(hard)
    some = [0, 3, 5]
    ignored = np.where(np.isin(np.arange(BATCH), some), LABELS, 255)
    expected = float(loss.compute_loss(t[some], s[some], labels=LABELS[some]))
    assert float(loss.compute_loss(t, s, labels=ignored)) == pytest.approx(expected, rel=1e-5)


def test_relations_do_not_depend_on_where_the_features_are():
    rng = np.random.default_rng(3)
    t, s = rng.standard_normal((2, BATCH, 8)).astype("float32")
    loss = D.Relational("a")
    near = float(loss.compute_loss(t, s))
    assert float(loss.compute_loss(t, s + 4096)) == pytest.approx(near, rel=1e-2)
