"""What models answer with, whatever kind they are of."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.distillation.output_activation import Activation
from edgekit.distillation.outputs import outputs_of
from tests.edgekit.distillation.conftest import LOSS

D = ek.distillation
X = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
Y = X[:, :3].argmax(1)


class Ends(keras.Model):
    """A subclassed model with outputs of these names, activations and widths."""

    def __init__(self, ends, pack=dict):
        super().__init__()
        self.pack = pack
        self.heads = {name: layers.Dense(width, kind) for name, (kind, width) in ends.items()}

    def call(self, x):
        found = {name: head(x) for name, head in self.heads.items()}
        return found if self.pack is dict else self.pack(iter(found.values()))


def built(*arguments):
    model = Ends(*arguments)
    model(X[:1])
    return model


def functional(names, kind="softmax"):
    x = keras.Input((6,))
    return keras.Model(x, [layers.Dense(3, kind, name=name)(x) for name in names])


def test_names_shapes_and_activations():
    told = outputs_of(built({"b": ("softmax", 3), "a": (None, 2)}))
    assert told.names == ("a", "b")
    assert told.shapes == ((None, 2), (None, 3))
    assert told.activations == ("linear", "softmax")
    assert outputs_of(built({"b": ("softmax", 3), "a": (None, 2)}, list)).names == (
        "output_0",
        "output_1",
    )
    x = keras.Input((6,))
    heads = [layers.Dense(width, name=f"w{width}")(x) for width in (1, 2, 3)]
    nested = keras.Model(x, {"z": heads[:2], "a": heads[2]})
    assert outputs_of(nested).names == ("a", "z/0", "z/1")
    assert outputs_of(nested).shapes == ((None, 3), (None, 1), (None, 2))
    assert outputs_of(functional("ab")).names == ("a", "b")


@pytest.mark.parametrize("pack", [dict, list])
def test_subclassed_models_with_several_outputs_teach_and_learn(pack):
    ends = {"a": ("softmax", 3), "b": ("softmax", 3)}
    teacher, student = built(ends, pack), built(ends, pack)
    distiller = ek.distill(student, teacher, student_weight=0)
    distiller.compile(keras.optimizers.Adam(0.05))
    losses = distiller.fit(X, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
    flat = [keras.tree.flatten(model(X)) for model in (student, teacher)]
    for one, other in zip(*flat, strict=True):
        np.testing.assert_allclose(one, other, atol=0.1)


def test_names_go_before_places():
    teacher, student = built({"a": ("softmax", 3), "b": ("softmax", 3)}), functional("ba")
    answers = ek.distill(student, teacher).answers(X)
    np.testing.assert_allclose(keras.ops.softmax(answers["logits 0"]), teacher(X)["b"], atol=1e-5)
    function = ek.distill(student, lambda x: {k: v.numpy() for k, v in teacher(x).items()})
    np.testing.assert_allclose(
        keras.ops.softmax(function.answers(X)["logits 0"]), teacher(X)["b"], atol=1e-5
    )


def test_inputs_in_a_list_are_known_by_name():
    def make(order):
        inputs = {name: keras.Input((6,), name=name) for name in "ab"}
        x = layers.Subtract()([inputs["a"], inputs["b"]])
        return keras.Model([inputs[name] for name in order], layers.Dense(3, "softmax")(x))

    student, teacher = make("ab"), make("ba")
    teacher.set_weights(student.get_weights())
    distiller = ek.distill(student, teacher, D.LogitMatching())
    distiller.compile(keras.optimizers.SGD(0.0), LOSS)
    history = distiller.fit([X, 2 * X], Y, verbose=0).history
    assert history["distillation_loss"][0] == pytest.approx(0, abs=1e-9)


def own_sigmoid(z):
    return 1 / (1 + keras.ops.exp(-z))


@pytest.mark.parametrize("width", [1, 4])
def test_what_may_be_a_sigmoid_is_asked_about(width):
    teacher, student = (built({"o": (own_sigmoid, width)}, next) for _ in range(2))
    with pytest.raises(ValueError, match="sigmoid: say by student_activation whether"):
        ek.distill(student, teacher)
    told = {"student_activation": "sigmoid", "teacher_activation": "sigmoid"}
    distiller = ek.distill(student, teacher, student_weight=0, **told)
    distiller.compile(keras.optimizers.Adam(0.05))
    losses = distiller.fit(X, epochs=40, verbose=0).history["loss"]
    assert 0 < losses[-1] < 0.1 * losses[0]
    number = keras.Sequential([keras.Input((6,)), layers.Dense(width)])
    with pytest.raises(ValueError, match="say by teacher_activation"):
        ek.distill(number, lambda x: teacher(x).numpy())


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_subclassed_models_show_what_they_compute(kind):
    student = built({"o": (kind, 4)}, next)
    assert ek.distill(student, built({"o": (kind, 4)}, next)).student_activation == [kind]
    function = ek.distill(student, lambda x: keras.ops.convert_to_numpy(student(x)))
    assert function.teacher_activation == [kind]


def test_numbers_are_no_probabilities():
    teacher, student = (built({"o": (None, 4)}, next) for _ in range(2))
    assert ek.distill(student, teacher).student_activation == ["linear"]


def test_answers_of_another_shape_are_refused_and_not_stretched():
    student = built({"o": ("softmax", 3)}, next)
    with pytest.raises(ValueError, match=r"shape \(None, 3\) and that of `teacher` \(None, 1\)"):
        ek.distill(student, built({"o": (None, 1)}, next), D.LogitMatching())

    def one_row(x):
        return np.full((len(x) if len(x) <= 8 else 1, 3), 1 / 3)

    distiller = ek.distill(student, one_row)
    distiller.compile("adam", LOSS)
    with pytest.raises(Exception, match=r"gives shapes \[\(1, 3\)\], not \[\(32, 3\)\]"):
        distiller.fit(X, Y, verbose=0)


def test_functions_may_be_among_several_teachers():
    teachers = [functional("a"), functional("a")]
    functions = [lambda x, net=net: net(x).numpy() for net in teachers]
    student = functional("a")
    expected = ek.distill(student, teachers).answers(X)["logits 0"]
    found = ek.distill(student, [teachers[0], functions[1]]).answers(X)["logits 0"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def heads(names, pack, seed):
    """A functional model with softmax heads of these names, in a list or a dict."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((6,))
    found = {name: layers.Dense(3, "softmax", name=name)(x) for name in names}
    return keras.Model(x, found if pack is dict else list(found.values()))


@pytest.mark.parametrize(
    ("own", "theirs"),
    [("a", "ba"), ("ab", "cba"), ("abc", "ba"), ("ca", "a"), ("ab", "bc"), ("ab", "ac")],
)
@pytest.mark.parametrize("pack", [list, dict])
def test_heads_that_only_one_has_are_left_out(own, theirs, pack):
    """Outputs are known by name; where as many stand at the same places, by their order."""
    student, teacher = heads(own, pack, 1), heads(theirs, dict, 2)
    distiller = ek.distill(student, teacher, D.SoftTargets(1), 0)
    distiller.compile("sgd")
    both = set(own) & set(theirs)
    pairs = zip(own, theirs, strict=True) if own[0] == theirs[0] else [(n, n) for n in both]
    said = [
        {n: model.get_layer(n)(X).numpy() for n in names}
        for model, names in ((student, own), (teacher, theirs))
    ]
    expected = sum(
        (said[1][there] * np.log(said[1][there] / said[0][here])).sum(-1).mean()
        for here, there in pairs
    )
    assert distiller.evaluate(X, verbose=0, batch_size=64) == pytest.approx(expected, rel=1e-4)


def test_an_output_that_the_teacher_lacks_is_named():
    student, teacher = heads("ac", dict, 1), heads("a", dict, 2)
    own = dict.fromkeys("ac", LOSS)
    distiller = ek.distill(student, teacher)
    assert distiller.teacher_places == [0, None]
    distiller.compile(keras.optimizers.Adam(0.05), own)
    history = distiller.fit(X, {"a": Y, "c": Y}, epochs=2, verbose=0).history
    assert history["student_loss"][1] < history["student_loss"][0]
    with pytest.raises(ValueError, match="`teacher` has no output 'c' .* it has: a"):
        ek.distill(student, teacher, {"c": D.SoftTargets()})
    for names, message in (("d", "d, of which none"), (["dense_1"], "dense_1, of which none")):
        with pytest.raises(ValueError, match=f"outputs a, dense_1 and `student` {message}"):
            ek.distill(heads(names, list, 1), heads(["a", "dense_1"], dict, 2))
    taught = ek.distill(student, lambda x: {k: v.numpy() for k, v in teacher(x).items()})
    assert taught.teacher_places == [0, None]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_logits_worked_out_from_probabilities_are_right_until_the_type_loses_them(dtype):
    smallest, from_one = {
        "float32": (1e-37, 2.0**-25),
        "float16": (2.0**-25, 2.0**-12),
        "bfloat16": (1e-37, 2.0**-9),
    }[dtype]
    values = [0.0, 1e-7, 0.01, 0.3, 0.5, 0.75, 0.99, 1 - 2.0**-24, 1.0]
    given = keras.ops.cast(np.array(values, "float32"), dtype)
    exact = np.asarray(keras.ops.cast(given, "float32"), "float64")
    yes, no = np.maximum(exact, smallest), np.maximum(1 - exact, from_one)
    found = np.asarray(Activation("sigmoid").logits(given))[..., 0]
    np.testing.assert_allclose(found, np.log(yes) - np.log(no), rtol=1e-5, atol=1e-6)
    found = np.asarray(Activation("softmax").logits(given))
    np.testing.assert_allclose(found, np.log(yes), rtol=1e-5, atol=1e-6)


def test_soft_targets_of_a_function_are_those_of_its_logits():
    """At every temperature, as long as no probability is 0: to a logit 85 below the largest."""
    logits = np.random.default_rng(0).normal(size=(64, 10)) * 12

    def softmax(z):
        powers = np.exp(z - z.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    probabilities = softmax(logits).astype("float32")
    assert probabilities.min() < 1e-20
    found = np.asarray(Activation("softmax").logits(probabilities), "float64")
    for temperature in (1, 4, 20):
        right = softmax(logits / temperature)
        np.testing.assert_allclose(softmax(found / temperature), right, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "dtype", "scale", "lost"),
    [
        ("softmax", "float32", 1.0, None),
        ("softmax", "float32", 300.0, "are 0 in float32"),
        ("softmax", "float16", 30.0, "are 0 in float16"),
        ("sigmoid", "float32", 30.0, "are 0 or 1 in float32"),
    ],
)
def test_probabilities_that_lost_their_logits_are_said_once(kind, dtype, scale, lost, recwarn):
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    activation = getattr(keras.activations, kind)

    def function(x):
        return np.asarray(activation(np.asarray(x) @ weights * scale)).astype(dtype)

    x = keras.Input((6,))
    student = keras.Model(x, layers.Dense(3, kind)(x))
    loss = "binary_crossentropy" if kind == "sigmoid" else LOSS
    labels = np.eye(3)[Y] if kind == "sigmoid" else Y
    distiller = ek.distill(student, function, teacher_activation=kind)
    distiller.compile("adam", loss)
    history = distiller.fit(X, labels, batch_size=16, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    said = [str(w.message) for w in recwarn if "their logits are lost" in str(w.message)]
    assert len(said) == (lost is not None)
    assert lost is None or lost in said[0]
