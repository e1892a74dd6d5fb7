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

TEMPERATURE, BATCH = 20, 128
# Epochs of the teacher, of the student on labels, and of the taught ones.
EPOCHS = {"teacher": 60, "plain": 15, "distilled": 40}
SHIFT = 2
MISSING = 3


def hinton(seed: int, quick: bool) -> dict:
    """Errors of a teacher, a student alone and two taught ones."""
    x, y, x_test, y_test = mnist()
    x, x_test = x.reshape(-1, 784), x_test.reshape(-1, 784)
    epochs = dict.fromkeys(EPOCHS, 1) if quick else EPOCHS
    if quick:
        some = np.random.default_rng(seed).permutation(len(x))[:4000]  # they are sorted
        x, y = x[some], y[some]
    keras.utils.set_random_seed(seed)
    teacher = net(1200, dropout=True)
    fitted(teacher, shifted(x, y, seed), len(x), epochs["teacher"])
    found = {"teacher": teacher}
    keras.utils.set_random_seed(seed)
    found["plain"] = net(800)
    fitted(found["plain"], batches(x, y, seed), len(x), epochs["plain"])
    found["distilled"] = taught(teacher, x, y, seed, epochs["distilled"])
    errors = {name: errors_of(model, x_test, y_test) for name, model in found.items()}
    others = y != MISSING
    unseen = taught(teacher, x[others], y[others], seed, epochs["distilled"])
    return {"errors": errors, "never seen": never_seen(unseen, x_test, y_test)}


def net(units: int, dropout: bool = False) -> keras.Model:
    """784 pixels, two hidden layers, ten logits."""
    layers = keras.layers
    x = image = keras.Input((784,))
    if dropout:
        x = layers.Dropout(0.2)(x)
    for number in range(2):
        x = layers.Dense(units, activation="relu", name=f"hidden_{number}")(x)
        if dropout:
            x = layers.Dropout(0.5)(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x))


def taught(teacher, x, y, seed, epochs) -> keras.Model:
    """A student of 800 units a layer, on soft targets."""
    keras.utils.set_random_seed(seed)
    student = net(800)
    losses = ek.distillation.SoftTargets(TEMPERATURE)
    distiller = ek.distill(student, teacher, losses, student_weight=0.1)
    with tempfile.TemporaryDirectory() as folder:  # the digits are the same in each epoch
        answers = distiller.ask_once(x, Path(folder) / "answers", verbose=False)
        fitted(distiller, batches(answers, y, seed), len(x), epochs)
    return student


def fitted(model, data, samples, epochs) -> None:
    """Adam, with a rate that falls to zero by a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(1e-3, epochs * -(-samples // BATCH))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(data, epochs=epochs, verbose=0)


def batches(x, y, seed):
    """A tf.data set, shuffled anew in each epoch."""
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(y), seed=seed)
    return data.batch(BATCH).prefetch(2)


def shifted(x, y, seed):
    """The same with each digit moved by up to two pixels."""

    def move(images, labels):
        images = tf.reshape(images, (-1, 28, 28))
        images = tf.pad(images, [[0, 0], [SHIFT, SHIFT], [SHIFT, SHIFT]])
        # One shift for a few digits each: cheap, and different in each batch.
        parts = []
        for part in tf.split(images, 4):
            down, right = tf.unstack(tf.random.uniform((2,), 0, 2 * SHIFT + 1, tf.int32))
            parts.append(part[:, down : down + 28, right : right + 28])
        return tf.reshape(tf.concat(parts, 0), (-1, 784)), labels

    tf.random.set_seed(seed)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    data = data.batch(BATCH, drop_remainder=True)
    return data.map(move, num_parallel_calls=2).prefetch(2)


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
