"""A net of tf_keras, trained a little, for TFMOT."""

from importlib.util import find_spec

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tk():
    # Importing TFMOT here would change `tf.keras` for the tests that come after.
    if find_spec("tensorflow_model_optimization") is None:
        pytest.skip("needs the extra tfmot")
    return pytest.importorskip("tf_keras")


@pytest.fixture(scope="session")
def images():
    x = np.random.default_rng(0).normal(size=(256, 8, 8, 3)).astype("float32")
    return x, x.mean((1, 2)).argmax(-1)


@pytest.fixture(scope="session")
def old_net(tk, images):
    """Tests must not change it."""
    layers = tk.layers
    tk.utils.set_random_seed(0)
    image = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(image)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8, name="bn")(x))
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Conv2D(16, 1, activation="relu", name="pointwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = tk.Model(image, layers.Dense(3, activation="softmax", name="classes")(x), name="old")
    fit(tk, model, images, epochs=2)
    return model


def fit(tk, model, images, callbacks=(), epochs=3):
    model.compile(tk.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(*images, epochs=epochs, batch_size=32, callbacks=list(callbacks), verbose=0)


@pytest.fixture(scope="session")
def train(tk, images):
    return lambda model, callbacks=(), epochs=3: fit(tk, model, images, callbacks, epochs)


@pytest.fixture(scope="session")
def sparse(old_net, train):
    """Half of its weights are zero; tests must not change it."""
    from edgekit import tfmot

    pruned, callbacks = tfmot.prune(old_net, 0.5)
    train(pruned, callbacks)
    return tfmot.strip(pruned)


@pytest.fixture(scope="session")
def shared(sparse, train):
    """The same with eight values in each kernel; tests must not change it."""
    from edgekit import tfmot

    clustered, callbacks = tfmot.cluster(sparse, 8)
    train(clustered, callbacks)
    return tfmot.strip(clustered)
