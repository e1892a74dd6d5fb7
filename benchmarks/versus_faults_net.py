"""The net on which faults are looked for, in Keras 3 or tf_keras."""

import numpy as np


def net(keras):
    """A small net with a convolution, BatchNormalization and Dropout."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(3, name="classes"),
        ]
    )


def fit(keras, model, callbacks=(), steps=20) -> None:
    """A few steps on seeded data."""
    random = np.random.default_rng(0)
    x = random.normal(size=(8 * steps, 8, 8, 3)).astype("float32")
    y = random.normal(size=(len(x), 3)).astype("float32")
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.fit(x, y, batch_size=8, callbacks=list(callbacks), verbose=0)


def regressions(keras, cluster) -> list[float]:
    """Last losses of a line that one layer learns, and learns on at the same rate once clustered.

    Args:
        keras: Keras 3 or tf_keras.
        cluster: Gives the clustered model and its callbacks.
    """
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(1)])
    random = np.random.default_rng(0)
    x = random.normal(size=(512, 64)).astype("float32")
    y = x @ random.normal(size=(64, 1)).astype("float32")
    losses = []
    for way in (lambda plain: (plain, []), cluster):
        trained, callbacks = way(model)
        trained.compile(keras.optimizers.SGD(0.2), "mse")
        history = trained.fit(x, y, batch_size=512, epochs=60, callbacks=callbacks, verbose=0)
        losses.append(history.history["loss"][-1])
    return losses
