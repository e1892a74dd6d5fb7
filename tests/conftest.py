"""What tests share."""

import ctypes
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import keras
import numpy as np
import pytest
from keras import layers

# Machines are shared, and what is compiled or traced takes its time at the first call.
hypothesis.settings.register_profile("edgekit", deadline=None)
hypothesis.settings.load_profile("edgekit")


@pytest.fixture(autouse=True, scope="module")
def memory_given_back():
    """Each file's models are let go behind it: else a fit leaves 33 MB in a worker, not 16."""
    yield
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def make_cnn() -> keras.Model:
    """A small net with the layers people deploy: 8×8×3 in, 4 classes out."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(momentum=0.8, name="conv_bn")(x)
    x = layers.ReLU(name="conv_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(momentum=0.8, name="depthwise_bn")(x)
    x = layers.ReLU(6.0, name="depthwise_relu")(x)
    y = layers.Conv2D(8, 1, name="pointwise")(x)
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    classes = layers.Dense(4, activation="softmax", name="classes")(x)
    return keras.Model(image, classes, name="cnn")


def make_data(samples: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Noise images whose class says whether red and whether green is brighter."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, samples)
    x = rng.random((samples, 8, 8, 3)).astype("float32") * 0.7
    x[..., 0] += 0.3 * (y % 2)[:, None, None]
    x[..., 1] += 0.3 * (y // 2)[:, None, None]
    return x, y


@pytest.fixture
def cnn():
    return make_cnn()


@pytest.fixture(scope="session")
def data():
    return make_data()


@pytest.fixture(scope="session")
def trained():
    """A trained float model; tests must not change it."""
    keras.utils.set_random_seed(0)
    model = make_cnn()
    x, y = make_data(512)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=4, verbose=0)
    return model


@pytest.fixture(scope="session")
def trained_qat(trained):
    """The trained model after quantisation-aware training; tests must not change it."""
    import edgekit as ek

    keras.utils.set_random_seed(0)
    model = ek.quantize_aware(trained)
    x, y = make_data(512)
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    return model


@pytest.fixture(scope="session")
def files(trained, trained_qat):
    """The trained models in every format, and the quantisation-aware one as `qat`."""
    import edgekit as ek

    x, _ = make_data()
    found = ek.convert(trained, ["float32", "float16", "int8"], calibration=x)
    return {**found, "qat": ek.convert(trained_qat, ["int8"])["int8"]}


@pytest.fixture(scope="session")
def folder(files, trained, tmp_path_factory):
    """A user's folder: `model.keras`, two `.tflite` files, `x.npy`, `corrupt.tflite`."""
    path = tmp_path_factory.mktemp("user")
    trained.save(path / "model.keras")
    files["float32"].save(path / "float32.tflite")
    files["int8"].save(path / "int8.tflite")
    np.save(path / "x.npy", make_data(64)[0])
    (path / "corrupt.tflite").write_bytes(files["int8"].content[:1500])
    return path
