"""What a teacher costs, for benchmarks/distillation.py: edgekit and Keras in turns, in one process.

The student is LeNet-5, the teacher one three times as wide. A round is an epoch of each in an order
drawn anew; ratios are over the student alone, in the same round.
"""

import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from lenets import lenet_5, mnist

import edgekit as ek

BATCH, ROUNDS, SAMPLES, TEMPERATURE = 128, 9, 12_800, 4
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def cost(seed: int, quick: bool) -> dict:
    """Median ratios of epoch times, their quartiles, and accuracies after equal epochs."""
    x, y, x_test, y_test = mnist()
    samples, rounds = (1280, 2) if quick else (SAMPLES, ROUNDS)
    some = np.random.default_rng(seed).permutation(len(x))[:samples]  # they are sorted
    x, y = x[some], y[some]
    keras.utils.set_random_seed(seed)
    teacher = ek.narrow(_logits(), 3.0)
    teacher.compile("adam", LOSS)
    teacher.fit(x, y, batch_size=BATCH, epochs=1 if quick else 4, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        models = _models(teacher, x, Path(folder), seed)
        times = {name: [] for name in models}
        order = np.random.default_rng(seed)
        for number in range(rounds + 1):
            for name in order.permutation(list(models)):
                model, inputs = models[name]
                start = time.perf_counter()
                model.fit(inputs, y, batch_size=BATCH, verbose=0)
                if number:  # the first round traces
                    times[name].append(time.perf_counter() - start)
    found = {}
    for name, (model, _) in models.items():
        student = getattr(model, "student", model)
        answers = student.predict(x_test, batch_size=500, verbose=0).argmax(-1)
        row = {"accuracy": round(float(np.mean(answers == y_test)), 4)}
        ratios = [a / b for a, b in zip(times[name], times["alone"], strict=True)]
        row["ratio"] = round(statistics.median(ratios), 3)
        if rounds > 2:
            quartiles = statistics.quantiles(ratios, n=4)
            row["quartiles"] = [round(quartiles[0], 3), round(quartiles[2], 3)]
        found[name] = row
    return found


def _logits() -> keras.Model:
    """LeNet-5 without its softmax: Keras's loss takes nothing else."""
    model = lenet_5(keras)
    model.get_layer("classes").activation = keras.activations.linear
    return model


def _models(teacher, x, folder, seed) -> dict:
    """`{name: (compiled model, what fit takes)}`, all with the same first student."""

    def student():
        keras.utils.set_random_seed(seed)
        return _logits()

    soft = ek.distillation.SoftTargets(TEMPERATURE)
    stored = ek.distill(student(), teacher, soft)
    # Keras's default loss compares logits as if they were probabilities; an instance does not.
    theirs = keras.distillation.Distiller(
        teacher,
        student(),
        keras.distillation.LogitsDistillation(TEMPERATURE, keras.losses.KLDivergence()),
        student_loss_weight=0.1,
    )
    found = {
        "alone": (student(), x),
        "stored answers": (stored, stored.ask_once(x, folder / "answers", verbose=False)),
        "teacher in the step": (ek.distill(student(), teacher, soft), x),
        "Keras, teacher in the step": (theirs, x),
    }
    for model, _ in found.values():
        model.compile(keras.optimizers.Adam(1e-3), LOSS)
    return found
