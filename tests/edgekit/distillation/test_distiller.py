import contextlib

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.conftest import make_cnn

D = ek.distillation
LOSS = "sparse_categorical_crossentropy"


def make_net(width, activation="softmax", name="net", **conv):
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(width, 3, activation="relu", name="conv", **conv)(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Conv2D(2 * width, 3, strides=2, activation="relu", name="conv_2")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return keras.Model(image, layers.Dense(4, activation=activation, name="classes")(x), name=name)


@pytest.fixture
def teacher():
    keras.utils.set_random_seed(7)
    return make_net(12, name="teacher")


def fit(distiller, data, optimizer="adam", loss=LOSS, compiling=(), **options):
    distiller.compile(optimizer, loss, **dict(compiling))
    options = {"batch_size": 32, "epochs": 2, "verbose": 0, "shuffle": False, **options}
    return distiller.fit(*data, **options)


def test_the_student_comes_to_answer_as_the_teacher(data, teacher):
    x, _ = data
    student = make_net(6)
    before = D.SoftTargets(2).compute_loss(teacher.predict(x), student.predict(x))
    frozen = teacher.get_weights()
    distiller = ek.distill(student, teacher, D.SoftTargets(2), student_weight=0)
    history = fit(distiller, data, keras.optimizers.Adam(0.01), None, epochs=20).history
    after = D.SoftTargets(2).compute_loss(teacher.predict(x), student.predict(x))
    assert float(after) < 0.2 * float(before)
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert distiller.student is student
    for old, new in zip(frozen, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(teacher.trainable_weights) == len(student.trainable_weights)  # as before
    assert len(distiller.trainable_weights) == len(student.trainable_weights)
    assert len(distiller.weights) == 1 + len(teacher.weights) + len(student.weights)


def test_with_all_weight_on_its_own_loss_it_trains_as_without_a_teacher(data, teacher):
    found = []
    for teach in (False, True):
        keras.utils.set_random_seed(0)
        student = make_net(6, kernel_regularizer=keras.regularizers.L2(0.1))
        model = ek.distill(student, teacher, student_weight=1) if teach else student
        weights = {0: 1.0, 1: 3.0, 2: 0.5, 3: 1.0}
        options = {"class_weight": weights, "validation_data": data}
        history = fit(model, data, compiling={"metrics": ["accuracy"]}, **options).history
        found.append((student.get_weights(), history))
    for plain, taught in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_allclose(taught, plain, atol=1e-5)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(found[1][1][name], found[0][1][name], rtol=1e-4)
    assert "val_distillation_loss" not in found[1][1]


def test_the_loss_is_the_sum_of_its_parts(data, teacher):
    x, y = data
    student = make_net(6, kernel_regularizer=keras.regularizers.L2(0.1))
    penalty = 0.1 * np.square(student.get_layer("conv").get_weights()[0]).sum()
    own = keras.losses.get(LOSS)(y, student.predict(x)).numpy()
    logs = [np.log(m.predict(x)) for m in (teacher, student)]
    losses = [D.SoftTargets(3), D.LogitMatching()]
    parts = [float(loss.compute_loss(*logs, softmax=True)) for loss in losses]
    weights = np.random.default_rng(0).random(len(x)).astype("float32")
    distiller = ek.distill(student, teacher, losses, 0.3, weights=[2, 5])
    for layer in student.layers:  # as in prediction
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    options = {"batch_size": len(x), "epochs": 1}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), **options).history
    expected = 0.3 * own.mean() + 0.7 * (2 * parts[0] + 5 * parts[1]) + penalty
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert history["student_loss"][0] == pytest.approx(own.mean() + penalty, rel=1e-4)
    assert history["distillation_loss"][0] == pytest.approx(2 * parts[0] + 5 * parts[1], rel=1e-4)
    options["sample_weight"] = weights
    weighted = fit(distiller, (x, y), keras.optimizers.SGD(0.0), **options).history
    assert weighted["student_loss"][0] == pytest.approx((own * weights).mean() + penalty, rel=1e-4)
    assert weighted["distillation_loss"][0] < 0.75 * history["distillation_loss"][0]


ENDS = {
    "logits": None,
    "argument": "softmax",
    "layer": layers.Softmax(),
    "operation": keras.ops.softmax,
    "inside dropout and reshape": lambda z: layers.Reshape((4,))(layers.Dropout(0)(_SOFTMAX(z))),
}
_SOFTMAX = layers.Activation("softmax")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_probabilities_teach_as_their_logits_do(data, end, side):
    x, y = data
    image = keras.Input((8, 8, 3))
    z = [layers.Dense(4)(layers.Flatten()(image)) for _ in range(2)]
    logits = [keras.Model(image, each).predict(x, verbose=0) for each in z]
    activation = ENDS[end]
    if isinstance(activation, str):
        activation = layers.Activation(activation)
    ended = [
        activation(each) if activation and name == side else each
        for name, each in zip(("student", "teacher"), z, strict=True)
    ]
    distiller = ek.distill(*(keras.Model(image, each) for each in ended), student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), None, **options).history
    expected = float(D.SoftTargets().compute_loss(logits[1], logits[0]))
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_each_unit_of_a_sigmoid_is_a_question_of_its_own(data):
    x, y = data
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    nets = [keras.Model(image, layers.Dense(4, activation="sigmoid")(flat)) for _ in range(2)]
    distiller = ek.distill(*nets, D.SoftTargets(1), student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), None, **options).history
    q, p = (net.predict(x, verbose=0).astype("f8") for net in nets)
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert history["loss"][0] == pytest.approx(divergence.mean(), rel=1e-3)


def test_evaluation_asks_the_student_alone(data, teacher):
    x, y = data
    student = make_net(6)
    distiller = ek.distill(student, teacher)
    distiller.compile("adam", LOSS, metrics=["accuracy"])
    student.compile("adam", LOSS, metrics=["accuracy"])
    expected = student.evaluate(x, y, verbose=0, return_dict=True)
    assert distiller.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected)
    np.testing.assert_allclose(distiller.predict(x, verbose=0), student.predict(x, verbose=0))


def test_features_of_other_widths_and_sizes(data):
    teacher, student = make_net(12), make_net(5, strides=2)
    losses = [
        D.Hints("conv"),
        D.Hints("gap"),
        D.AttentionTransfer("conv"),
        D.SimilarityPreserving("gap", "conv_2"),
        D.Relational("conv_2", "gap"),
        keras.distillation.FeatureDistillation("mse"),
    ]
    distiller = ek.distill(student, teacher, losses)
    before = len(student.trainable_variables)
    assert len(distiller.trainable_variables) == before + 2  # a projection per pair of widths
    first, *_, last = fit(distiller, data, epochs=15).history["distillation_loss"]
    assert last < first
    assert len(student.trainable_variables) == before
    assert student.count_params() == make_net(5, strides=2).count_params()


def test_layers_inside_nested_and_subclassed_models(data):
    class Net(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.body = make_net(width, None, name="body")

        def call(self, x, training=None):
            return keras.ops.softmax(self.body(x, training=training))

    student, teacher = Net(4), Net(9)
    for net in (student, teacher):
        net(data[0][:1])
    distiller = ek.distill(student, teacher, [D.Hints("conv_2"), D.SimilarityPreserving("gap")])
    history = fit(distiller, data, epochs=10).history["distillation_loss"]
    assert history[-1] < history[0]


def test_several_outputs(data):
    x, y = data

    def make(width):
        net = make_net(width)
        size = layers.Dense(2, name="size")(net.get_layer("gap").output)
        return keras.Model(net.input, {"classes": net.output, "size": size})

    student, teacher = make(4), make(9)
    targets = {"classes": y, "size": np.zeros((len(x), 2), "float32")}
    own = {"classes": LOSS, "size": "mse"}
    distiller = ek.distill(student, teacher)
    kinds = [type(loss).__name__ for loss in distiller.distillation_losses]
    assert kinds == ["SoftTargets", "LogitMatching"]
    history = fit(distiller, (x, targets), loss=own, epochs=15).history["distillation_loss"]
    assert history[-1] < history[0]
    only = ek.distill(student, teacher, {"size": D.LogitMatching()}, student_weight=0)
    before = keras.ops.mean((student(x)["size"] - teacher(x)["size"]) ** 2)
    fit(only, (x, targets), keras.optimizers.Adam(0.01), None, epochs=15)
    after = keras.ops.mean((student(x)["size"] - teacher(x)["size"]) ** 2)
    assert float(after) < 0.5 * float(before)
    with pytest.raises(
        ValueError, match="names output 'nothing'; the student's are: classes, size"
    ):
        ek.distill(student, teacher, {"nothing": D.SoftTargets()})


def test_masked_steps_do_not_count():
    def make(units):
        steps = keras.Input((6,), dtype="int32")
        x = layers.Embedding(10, units, mask_zero=True)(steps)
        return keras.Model(steps, layers.Dense(3)(layers.LSTM(units, return_sequences=True)(x)))

    student, teacher = make(4), make(8)
    x = np.random.default_rng(0).integers(1, 10, (16, 6))
    x[:, 4:] = 0
    y = np.zeros((16, 6), int)
    distiller = ek.distill(student, teacher, D.LogitMatching(), student_weight=0)
    options = {"epochs": 1, "batch_size": 16}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), None, **options).history
    difference = np.square(student.predict(x) - teacher.predict(x))
    assert history["loss"][0] == pytest.approx(difference[:, :4].mean(), rel=1e-4)


def test_a_run_is_saved_and_goes_on_as_if_nothing_had_been(data, teacher, tmp_path):
    losses = [D.SoftTargets(2), D.Hints("conv")]
    distiller = ek.distill(make_net(6), teacher, losses, 0.3, weights=[1, 2])
    fit(distiller, data, compiling={"metrics": ["accuracy"]})
    distiller.save(tmp_path / "run.keras")
    again = keras.models.load_model(tmp_path / "run.keras")
    found = []
    for each in (distiller, again):
        history = each.fit(*data, batch_size=32, shuffle=False, verbose=0).history
        found.append((history, each.student.get_weights()))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)
    distiller.student.save(tmp_path / "student.keras")
    alone = keras.models.load_model(tmp_path / "student.keras")
    assert alone.count_params() == make_net(6).count_params()


def test_an_interrupted_run_is_restored(data, teacher, tmp_path):
    def run(epochs, stop_at=None):
        keras.utils.set_random_seed(0)
        distiller = ek.distill(make_net(6), teacher, [D.SoftTargets(), D.Hints("conv")])

        class Stop(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == stop_at:
                    raise KeyboardInterrupt

        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        callbacks = [backup, Stop()] if stop_at != "none" else []
        with contextlib.suppress(KeyboardInterrupt):
            fit(distiller, data, epochs=epochs, callbacks=callbacks)
        return distiller.student.get_weights()

    run(4, stop_at=2)
    for resumed, whole in zip(run(4), run(4, stop_at="none"), strict=True):
        np.testing.assert_allclose(resumed, whole, atol=1e-5)


def test_the_teacher_is_asked_as_at_inference(data):
    image = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="bn")(layers.Flatten()(image))
    teacher = keras.Model(image, layers.Dense(4)(layers.Dropout(0.9)(x)))
    statistics = np.asarray(teacher.get_layer("bn").moving_mean)
    student = keras.models.clone_model(teacher)
    student.set_weights(teacher.get_weights())
    distiller = ek.distill(student, teacher, D.LogitMatching(), student_weight=0)
    fit(distiller, data, keras.optimizers.SGD(0.0), None)
    np.testing.assert_array_equal(np.asarray(teacher.get_layer("bn").moving_mean), statistics)
    assert np.abs(np.asarray(student.get_layer("bn").moving_mean) - statistics).max() > 0


def test_mixed_precision(data, teacher):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        student = make_net(6)
    finally:
        keras.config.set_dtype_policy("float32")
    losses = [D.SoftTargets(), D.Hints("conv"), D.SimilarityPreserving("gap")]
    history = fit(ek.distill(student, teacher, losses), data, epochs=8).history
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]


def test_a_pruned_clustered_and_quantised_student_in_one_fit_each(cnn, data):
    x, _ = data
    keras.utils.set_random_seed(5)
    teacher = make_cnn()
    for callback in (ek.GradualPruning(0.5), ek.WeightClustering(8)):
        fit(ek.distill(cnn, teacher), data, callbacks=[callback])
    kernel = np.asarray(cnn.get_layer("conv").kernel)
    assert np.mean(kernel == 0) >= 0.5
    assert len(np.unique(kernel)) <= 8
    qat = ek.quantize_aware(cnn)
    distiller = ek.distill(qat, teacher, [D.SoftTargets(), D.Hints("pointwise")])
    assert distiller.student_activation == ["softmax"]
    fit(distiller, data, callbacks=[ek.KeepSparsity()])
    assert np.mean(np.asarray(ek.strip(qat).get_layer("conv").kernel) == 0) >= 0.5
    file = ek.convert(qat, ["int8"])["int8"]
    assert ek.inspect(file).float_islands == []
    taught = ek.distill(make_cnn(), file)  # and the file teaches in its turn
    assert np.isfinite(fit(taught, data).history["loss"]).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"student": "net"}, TypeError, "`student` must be a Keras 3 model. Received: str"),
        ({"teacher": None}, TypeError, "`teacher` must be a Keras model"),
        ({"losses": "soft"}, TypeError, "must be distillation losses"),
        ({"losses": D.SoftTargets}, TypeError, r"did you mean SoftTargets\(\)"),
        (
            {"teacher": keras.Sequential([keras.Input((5,)), layers.Dense(4)])},
            ValueError,
            r"samples of \[\(8, 8, 3\)\] and `teacher` of \[\(5,\)\]",
        ),
        ({"losses": []}, ValueError, "must not be empty"),
        (
            {"losses": D.Hints("nothing")},
            ValueError,
            "has no layer 'nothing'. Its layers are: .*gap",
        ),
        ({"losses": D.Hints("gap", "conv")}, ValueError, "Hints of layers 'gap' and 'conv'"),
        ({"student_weight": 2}, ValueError, "student_weight=2"),
        ({"weights": [1, 2]}, ValueError, "`weights` must be 1 numbers"),
        ({"weights": -1}, ValueError, "weights=-1"),
        ({"student_activation": "relu"}, ValueError, "student_activation='relu'"),
        ({"teacher_activation": "sigmoid"}, ValueError, "end both alike"),
        ({"teacher": lambda x: x[:, 0, 0]}, ValueError, r"shape \(None, 4\) and .* \(None, 3\)"),
        ({"teacher": lambda x: 1 / 0}, ValueError, "fails on two samples of zeros: ZeroDivision"),
        ({"student": keras.Sequential([layers.Dense(4)])}, ValueError, "no weights yet"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(teacher, change, error, message):
    arguments = {"student": make_net(6), "teacher": teacher, **change}
    with pytest.raises(error, match=message):
        ek.distill(**arguments)


def test_a_loss_is_asked_for_where_the_students_own_counts(data, teacher):
    student = make_net(6)
    with pytest.raises(ValueError, match="`loss` is needed"):
        ek.distill(student, teacher).compile("adam")
    with pytest.raises(ValueError, match="the student itself"):
        ek.distill(student, student)


def test_a_function_teaches_a_model_of_a_list_of_one_input(data):
    image = keras.Input((8, 8, 3))
    student = keras.Model([image], [layers.Dense(4)(layers.Flatten()(image))])
    distiller = ek.distill(student, lambda x: 5 * x[:, 0, 0, [0, 1, 2, 0]] - 2)
    assert np.isfinite(fit(distiller, data).history["loss"]).all()


def test_a_function_teaches(data, teacher):
    x, _ = data
    found = []
    for each in (teacher, lambda x: teacher(x).numpy()):
        keras.utils.set_random_seed(0)
        student = make_net(6)
        fit(ek.distill(student, each), data)
        found.append(student.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_logits_are_not_taken_for_probabilities(data):
    def function(x):
        return 5 * x[:, 0, 0, [0, 1, 2, 0]]

    assert ek.distill(make_net(6), function).teacher_activation == ["linear"]
    distiller = ek.distill(make_net(6), function, teacher_activation="softmax")
    with pytest.raises(Exception, match="teacher_activation='linear'"):
        fit(distiller, data)


def test_what_is_for_a_model_is_not_for_its_distiller(data, teacher):
    distiller = ek.distill(make_net(6), teacher, D.Decoupled(), student_weight=0)
    with pytest.raises(ValueError, match="'distiller' is a Distiller: pass its `.student`"):
        ek.narrow(distiller)
    with pytest.raises(ValueError, match="pass its `.student`"):
        ek.convert(distiller)
    distiller.compile("adam")
    with pytest.raises(ValueError, match="labels are needed"):
        distiller.fit(data[0], verbose=0)


class Ending(keras.Model):
    """A subclassed model, of which nothing can be seen."""

    def __init__(self, activation):
        super().__init__()
        self.body = make_net(5, None, name="body")
        self.ending = keras.activations.get(activation)

    def call(self, x, training=None):
        return self.ending(self.body(x, training=training))


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_probabilities_are_known_by_their_sum(data, teacher, activation):
    net = Ending(activation)
    net(data[0][:1])
    assert ek.distill(make_net(6), net).teacher_activation == [activation]
    assert ek.distill(make_net(6), lambda x: net(x).numpy()).teacher_activation == [activation]
    assert ek.distill(net, teacher).student_activation == [activation]


def test_one_number_is_no_class(data):
    x, y = data
    image = keras.Input((8, 8, 3))
    nets = [keras.Model(image, layers.Dense(1)(layers.Flatten()(image))) for _ in range(2)]
    distiller = ek.distill(*nets)
    assert isinstance(distiller.distillation_losses[0], D.LogitMatching)
    assert fit(distiller, data, loss="mse").history["distillation_loss"][0] > 0
    with pytest.raises(ValueError, match="output 0 of .* is one number: LogitMatching"):
        ek.distill(*nets, D.SoftTargets())
    with pytest.raises(ValueError, match="is one number"):
        D.MutualLearning(nets)


def test_a_frozen_student_is_refused_and_copies_of_a_frozen_teacher_train(teacher):
    teacher.trainable = False
    with pytest.raises(ValueError, match="has nothing to train"):
        ek.distill(teacher, make_net(6))
    assert len(ek.narrow(teacher, 0.5).trainable_weights) == len(make_net(3).trainable_weights)
    with pytest.raises(ValueError, match="is a Distiller: pass its `.student`"):
        ek.distill(make_net(6), ek.distill(make_net(5), teacher))


def two_heads(first, second):
    """Outputs in a list, in the order of their arguments."""
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(image)
    heads = {"size": layers.Dense(2, name="size"), "classes": layers.Dense(4, name="classes")}
    return keras.Model(image, [heads[first](x), heads[second](x)])


def test_outputs_in_a_list_are_known_by_name(data):
    x, y = data
    student, teacher = two_heads("size", "classes"), two_heads("classes", "size")
    for name in ("size", "classes"):
        teacher.get_layer(name).set_weights(student.get_layer(name).get_weights())
    losses = {"classes": [D.SoftTargets(), D.Decoupled()], "size": D.LogitMatching()}
    distiller = ek.distill(student, teacher, losses)
    own = {
        "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "size": "mse",
    }
    targets = {"classes": y, "size": np.zeros((len(x), 2), "float32")}
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, (x, targets), keras.optimizers.SGD(0.0), own, **options).history
    assert history["distillation_loss"][0] == pytest.approx(0, abs=1e-5)
    teacher.get_layer("classes").set_weights([np.zeros((192, 4)), np.arange(4.0)])
    history = fit(distiller, (x, targets), keras.optimizers.SGD(0.0), own, **options).history
    z = [model.predict(x, verbose=0) for model in (teacher, student)]
    parts = [
        float(loss.compute_loss(z[0][0], z[1][1], labels=y))
        for loss in (D.SoftTargets(), D.Decoupled())
    ]
    assert history["distillation_loss"][0] == pytest.approx(sum(parts), rel=1e-4)


def test_keras_losses_are_given_logits_and_their_output(data, teacher):
    x, y = data
    student = make_net(6)
    student.get_layer("bn").trainable = False
    kl = keras.losses.KLDivergence()
    keras_loss = keras.distillation.LogitsDistillation(3, kl)
    distiller = ek.distill(student, teacher, keras_loss, student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    found = fit(distiller, data, keras.optimizers.SGD(0.0), None, **options).history["loss"][0]
    logs = [np.log(model.predict(x, verbose=0)) for model in (teacher, student)]
    assert found == pytest.approx(float(D.SoftTargets(3).compute_loss(*logs)), rel=1e-3)


def test_a_function_is_not_saved_with_the_run(teacher, tmp_path):
    distiller = ek.distill(make_net(6), lambda x: teacher(x).numpy())
    with pytest.raises(ValueError, match="save the student"):
        distiller.save(tmp_path / "run.keras")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_activation": ["softmax", "linear"]}, "one entry for each of 1 outputs"),
        ({"student_activation": "linear", "losses": D.AttentionTransfer("gap")}, "have none"),
    ],
)
def test_what_cannot_be_compared_is_said(data, teacher, change, message):
    with pytest.raises(ValueError, match=message):
        fit(ek.distill(make_net(6), teacher, **change), data)
