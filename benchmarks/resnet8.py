"""MLPerf Tiny's ResNet-8 and the CIFAR-10 data of the benchmarks."""

import keras
import numpy as np


def resnet8(keras=keras):
    """ResNet-8 for 32×32×3 images in 0 to 1, 10 classes: 78 k parameters, 12.5 M MACs.

    Args:
        keras: Keras 3, or tf_keras for one of its models.

    Source: MLPerf Tiny, image_classification/keras_model.py (Banbury et al. 2021, arXiv
    2106.07597).
    """
    layers = keras.layers
    regularizer = keras.regularizers.L2(1e-4)

    def conv(x, filters, size, stride=1):
        return layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer,
        )(x)

    image = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(conv(image, 16, 3)))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(conv(x, filters, 3, stride)))
        y = layers.BatchNormalization()(conv(y, filters, 3))
        x = conv(x, filters, 1, stride) if stride > 1 else x
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    classes = layers.Dense(10, activation="softmax", kernel_initializer="he_normal")(x)
    return keras.Model(image, classes, name="resnet8")


def cifar10(test: int = 5000) -> tuple:
    """`(x_train, y_train, x_test, y_test)`, images in 0 to 1.

    The 50,000 training images of CIFAR-10, recompressed as JPEG; the last `test` are held out.
    They are read from `cifar10_train_jpeg.npz` in the folder EDGEKIT_DATA.

    Raises:
        SystemExit: The file is not there.
    """
    import tensorflow as tf
    from figures import data_folder  # beside the scripts; the net alone is for tests too

    path = data_folder() / "cifar10_train_jpeg.npz"
    if not path.exists():
        raise SystemExit(f"{path} is missing: set EDGEKIT_DATA to the folder that has it")
    with np.load(path) as stored:
        raw, offsets, y = stored["jpeg"].tobytes(), stored["offsets"], stored["y"]
    images = [
        tf.io.decode_jpeg(raw[start:end]).numpy()
        for start, end in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    x = np.stack(images).astype("float32") / 255
    y = np.asarray(y).reshape(-1)
    return x[:-test], y[:-test], x[-test:], y[-test:]


def augmented(x, y, batch: int, seed: int):
    """A tf.data set of shifted and flipped images, shuffled anew in each epoch."""
    import tensorflow as tf

    def shift_and_flip(image, label):
        image = tf.pad(image, [[4, 4], [4, 4], [0, 0]])
        image = tf.image.random_crop(image, (32, 32, 3))
        return tf.image.random_flip_left_right(image), label

    tf.random.set_seed(seed)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    return data.map(shift_and_flip, num_parallel_calls=2).batch(batch).prefetch(2)
