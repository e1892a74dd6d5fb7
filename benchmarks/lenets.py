"""LeNet-300-100, LeNet-5 and the MNIST digits of the benchmarks, for Keras 3 and tf_keras."""

import numpy as np
from figures import data_folder


def lenet_300_100(keras):
    """Two hidden Dense layers on 784 pixels: 266,610 parameters.

    Source: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition".
    """
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Flatten()(image)
    for units, name in ((300, "hidden_1"), (100, "hidden_2")):
        x = layers.Dense(units, activation="relu", name=name)(x)
    classes = layers.Dense(10, activation="softmax", name="classes")(x)
    return keras.Model(image, classes, name="lenet_300_100")


def lenet_5(keras):
    """LeNet-5 as Caffe has it, with 20, 50 and 500 channels: 431,080 parameters.

    Source: Jia et al. 2014, "Caffe", arXiv 1408.5093, examples/mnist/lenet.prototxt.
    """
    layers = keras.layers
    x = image = keras.Input((28, 28, 1), name="image")
    for filters, name in ((20, "conv_1"), (50, "conv_2")):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 5, name=name)(x))
    x = layers.Dense(500, activation="relu", name="hidden")(layers.Flatten()(x))
    classes = layers.Dense(10, activation="softmax", name="classes")(x)
    return keras.Model(image, classes, name="lenet_5")


def mnist() -> tuple:
    """`(x_train, y_train, x_test, y_test)`: 60,000 and 10,000 digits, pixels in 0 to 1.

    They are read from `mnist.npz` in the folder EDGEKIT_DATA.

    Raises:
        SystemExit: The file is not there.
    """
    path = data_folder() / "mnist.npz"
    if not path.exists():
        raise SystemExit(f"{path} is missing: set EDGEKIT_DATA to the folder that has it")
    with np.load(path) as stored:
        x, x_test = (stored[n][..., None].astype("float32") / 255 for n in ("x_train", "x_test"))
        return x, stored["y_train"].astype("int32"), x_test, stored["y_test"].astype("int32")
