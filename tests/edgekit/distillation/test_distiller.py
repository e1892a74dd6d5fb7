import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.conftest import make_cnn
from tests.edgekit.distillation.conftest import LOSS, fit, make_net

D = ek.distillation


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


def test_evaluation_asks_the_student_alone(data, teacher):
    x, y = data
    student = make_net(6)
    distiller = ek.distill(student, teacher)
    distiller.compile("adam", LOSS, metrics=["accuracy"])
    student.compile("adam", LOSS, metrics=["accuracy"])
    expected = student.evaluate(x, y, verbose=0, return_dict=True)
    assert distiller.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected)
    np.testing.assert_allclose(distiller.predict(x, verbose=0), student.predict(x, verbose=0))


def test_without_a_loss_evaluation_compares_with_the_teacher(data, teacher):
    student = make_net(6)
    student.get_layer("bn").trainable = False
    losses = [D.SoftTargets(2), D.AttentionTransfer("conv")]
    distiller = ek.distill(student, teacher, losses, student_weight=0)
    options = {"epochs": 1, "batch_size": len(data[0]), "validation_data": data}
    history = fit(distiller, data, keras.optimizers.SGD(0.0), None, **options).history
    assert history["val_loss"][0] == pytest.approx(history["loss"][0], rel=1e-5)
    assert history["val_loss"][0] > 0


def test_batches_count_by_their_samples(data, teacher):
    x, y = data
    student = make_net(6)
    student.get_layer("bn").trainable = False
    distiller = ek.distill(student, teacher, D.SoftTargets(2), 0.3)
    found = []
    for size in (len(x), len(x) - 4):  # the last batch has four samples
        options = {"epochs": 1, "batch_size": size}
        history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), **options).history
        found.append({name: values[0] for name, values in history.items()})
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_a_teacher_that_does_not_count_is_not_asked(data):
    asked = []

    def function(x):
        asked.append(len(x))
        return x[:, 0, 0, [0, 1, 2, 0]]

    distiller = ek.distill(make_net(6), function, student_weight=1)
    asked.clear()
    fit(distiller, data)
    assert not asked


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


def test_a_loss_is_asked_for_where_the_students_own_counts(data, teacher):
    student = make_net(6)
    with pytest.raises(ValueError, match="`loss` is needed"):
        ek.distill(student, teacher).compile("adam")
    with pytest.raises(ValueError, match="the student itself"):
        ek.distill(student, student)


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


def test_a_function_teaches_a_model_of_a_list_of_one_input(data):
    image = keras.Input((8, 8, 3))
    student = keras.Model([image], [layers.Dense(4)(layers.Flatten()(image))])
    distiller = ek.distill(student, lambda x: 5 * x[:, 0, 0, [0, 1, 2, 0]] - 2)
    assert np.isfinite(fit(distiller, data).history["loss"]).all()
