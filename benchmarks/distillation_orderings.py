"""Teaching assistants and born-again networks on CIFAR-10, for benchmarks/distillation.py."""

import keras
import numpy as np
from resnet8 import augmented, cifar10, resnet8

import edgekit as ek

BATCH, EPOCHS, RATE = 64, 6, 2e-3
ASSISTANT, STUDENT = 0.5, 0.25


def orderings(seed: int, quick: bool) -> dict:
    """Accuracies of a small net taught in three ways, and of generations of one net."""
    x, y, x_test, y_test = cifar10()
    epochs = 1 if quick else EPOCHS
    if quick:
        x, y, x_test, y_test = x[:512], y[:512], x_test[:500], y_test[:500]
    steps = epochs * -(-len(x) // BATCH)

    def compiling():
        rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
        return {
            "optimizer": keras.optimizers.Adam(rate),
            "loss": "sparse_categorical_crossentropy",
        }

    fitting = {"x": augmented(x, y, BATCH, seed), "epochs": epochs, "verbose": 0}

    def accuracy(model):
        answers = model.predict(x_test, batch_size=500, verbose=0)
        return round(float(np.mean(answers.argmax(-1) == y_test)), 4)

    def fresh(width):
        keras.utils.set_random_seed(seed)
        return resnet8() if width == 1 else ek.narrow(resnet8(), width)

    def alone(width):
        model = fresh(width)
        model.compile(**compiling())
        model.fit(**fitting)
        return model

    losses = ek.distillation.SoftTargets(4)
    settings = {"compile": compiling(), "fit": fitting}
    first = alone(1)
    found = {"first": accuracy(first), "student alone": accuracy(alone(STUDENT))}
    direct = fresh(STUDENT)
    ek.distillation.teaching_assistants([first, direct], losses, **settings)
    found["student taught"] = accuracy(direct)
    assistant, student = fresh(ASSISTANT), fresh(STUDENT)
    ek.distillation.teaching_assistants([first, assistant, student], losses, **settings)
    found["assistant"], found["student by an assistant"] = accuracy(assistant), accuracy(student)
    keras.utils.set_random_seed(100 + seed)
    born = ek.distillation.born_again(first, 2, **settings)
    for number, model in enumerate(born, 1):
        found[f"born again {number}"] = accuracy(model)
    found["ensemble of the born"] = accuracy(ek.distillation.Ensemble(born))
    return found
