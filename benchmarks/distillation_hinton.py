"""Hinton's experiments on MNIST, for benchmarks/distillation.py.

Source: Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 3.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from lenets import mnist

import edgekit as ek

TEMPERATURE, BATCH, RATE = 20, 128, 1e-3
EPOCHS, TEACHER_EPOCHS = 40, 200
TEACHER_BATCH, TEACHER_RATE, MAX_NORM = 256, 1.5e-3, 3
SHIFT = 2
MISSING = 3


def hinton(seed: int, quick: bool) -> dict:
    """Errors of a teacher, a student alone and taught ones."""
    x, y, x_test, y_test = mnist()
    x, x_test = x.reshape(-1, 784), x_test.reshape(-1, 784)
    epochs = 1 if quick else EPOCHS
    if quick:
        some = np.random.default_rng(seed).permutation(len(x))[:2000]  # they are sorted
        x, y = x[some], y[some]
    teacher = taught_on_shifts(x, y, seed, 1 if quick else TEACHER_EPOCHS)
    found = {"teacher": teacher, "plain": fresh(seed)}
    fitted(found["plain"], batches(x, y, seed), len(x), epochs)
    found["distilled"] = distilled(teacher, x, y, seed, epochs)
    mean = over_shifts(teacher)
    found["distilled, mean of shifts"] = distilled(mean, x, y, seed, epochs)
    errors = {name: errors_of(model, x_test, y_test) for name, model in found.items()}
    others = y != MISSING
    unseen = distilled(mean, x[others], y[others], seed, epochs)
    return {"errors": errors, "never seen": never_seen(unseen, x_test, y_test)}


def taught_on_shifts(x, y, seed, epochs) -> keras.Model:
    """Two layers of 1,200 units; dropout, bounded weights, each digit moved anew in each epoch."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    bounded = keras.constraints.MaxNorm(MAX_NORM)
    answer = image = keras.Input((784,))
    answer = layers.Dropout(0.2)(answer)
    for _ in range(2):
        # A quarter less time on processors that multiply bfloat16; the weights are float32.
        hidden = layers.Dense(
            1200, activation="relu", kernel_constraint=bounded, dtype="mixed_bfloat16"
        )
        answer = layers.Dropout(0.5)(hidden(answer))
    trained = keras.Model(image, layers.Dense(10)(answer))
    fitted(trained, shifted(x, y, seed), len(x), epochs, TEACHER_BATCH, TEACHER_RATE)
    teacher = net(1200)
    teacher.set_weights(trained.get_weights())
    return teacher


def fresh(seed) -> keras.Model:
    """A student of 800 units a layer, the same for the same seed."""
    keras.utils.set_random_seed(seed)
    return net(800)


def net(units: int) -> keras.Model:
    """784 pixels, two hidden layers, ten logits."""
    layers = [keras.layers.Dense(units, activation="relu") for _ in range(2)]
    return keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(10)])


def over_shifts(teacher):
    """A function: the teacher's mean logits for a digit, moved as when it learned."""
    steps = range(2 * SHIFT + 1)

    def answers(images):
        wide = np.pad(images.reshape(-1, 28, 28), [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)])
        moved = (wide[:, a : a + 28, b : b + 28].reshape(-1, 784) for a in steps for b in steps)
        return np.mean([teacher(each, training=False).numpy() for each in moved], axis=0)

    return answers


def distilled(teacher, x, y, seed, epochs) -> keras.Model:
    """A student taught by soft targets of the digits as they are."""
    student = fresh(seed)
    losses = ek.distillation.SoftTargets(TEMPERATURE)
    distiller = ek.distill(student, teacher, losses, student_weight=0)
    with tempfile.TemporaryDirectory() as folder:  # the digits are the same in each epoch
        answers = distiller.ask_once(x, Path(folder) / "answers", verbose=False)
        fitted(distiller, batches(answers, y, seed), len(x), epochs)
    return student


def fitted(model, data, samples, epochs, batch=BATCH, rate=RATE) -> None:
    """Adam, with a rate that falls to zero by a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-samples // batch))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(data, epochs=epochs, verbose=0)


def batches(x, y, seed, batch=BATCH):
    """A tf.data set, shuffled anew in each epoch."""
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(y), seed=seed)
    return data.batch(batch).prefetch(2)


def shifted(x, y, seed):
    """The same with each digit moved by up to two pixels, anew in each epoch."""
    side, wide = 28, 28 + 2 * SHIFT
    pixels = (np.arange(side)[:, None] * wide + np.arange(side)).reshape(-1)

    def move(images, labels):
        images = tf.reshape(images, (-1, side, side))
        images = tf.pad(images, [[0, 0], [SHIFT, SHIFT], [SHIFT, SHIFT]])
        images = tf.reshape(images, (-1, wide * wide))
        first = tf.random.uniform((len(labels), 2), 0, 2 * SHIFT + 1, tf.int32) @ [[wide], [1]]
        return tf.gather(images, first + pixels, batch_dims=1), labels

    tf.random.set_seed(seed)
    return batches(x, y, seed, TEACHER_BATCH).map(move).prefetch(2)


def errors_of(model, x, y) -> int:
    """Digits that are answered wrongly."""
    return int(np.sum(model.predict(x, batch_size=1000, verbose=0).argmax(-1) != y))


def never_seen(student, x, y) -> dict:
    """Errors of a student that has seen no 3, and with 3's bias raised.

    Raised until it answers 3 as often as threes are in the test set, as the paper's was.
    """
    logits = student.predict(x, batch_size=1000, verbose=0)
    threes = y == MISSING

    def wrong(raised):
        changed = logits.copy()
        changed[:, MISSING] += raised
        return changed.argmax(-1)

    low, high = -5.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.sum(wrong(middle) == MISSING) < threes.sum() else (low, middle)
        )
    found = {"raised": round(high, 3)}
    for name, answers in (("errors", wrong(0)), ("fixed", wrong(high))):
        found[name] = int(np.sum(answers != y))
        found[f"{name} on 3"] = int(np.sum(answers[threes] != MISSING))
    return found
