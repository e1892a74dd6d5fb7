"""Channels of very different size: int8 before and after `equalize` and `correct_bias`.

    EDGEKIT_DATA=data python benchmarks/equalization.py --out benchmarks/results/equalization.json

A depthwise-separable net is trained on MNIST (`mnist.npz` in the folder) and each of its channels
then made larger by a random factor before its depthwise kernel and smaller by it after: the same
function. "per tensor" is TensorFlow's own int8 with one scale for each kernel, "per channel"
edgekit's.
"""

import os
import warnings
from pathlib import Path

import click
import numpy as np
from figures import data_folder, save

CALIBRATION = 200


@click.command()
@click.option("--imbalance", default=100.0, show_default=True, help="Largest factor.")
@click.option("--seeds", default=3, show_default=True, help="Nets that are trained.")
@click.option("--epochs", default=5, show_default=True, help="Of training.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(imbalance, seeds, epochs, out):
    """Train, unbalance, repair, and measure accuracy in LiteRT on 10,000 digits."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import edgekit as ek

    with np.load(data_folder() / "mnist.npz") as stored:
        data = {name: stored[name] for name in stored.files}
    x_train, x_test = (data[n][..., None].astype("float32") / 255 for n in ("x_train", "x_test"))
    seen = x_train[:CALIBRATION]
    figures = []
    for seed in range(seeds):
        model = _trained(x_train, data["y_train"], seed, epochs)
        _unbalance(model, imbalance, seed)
        with warnings.catch_warnings(action="ignore"):  # that they are far from the model
            equalized = ek.equalize(model)
            files = {"float": ek.convert(model)["float32"]}
            for steps in ("per tensor", "per channel"):
                per_channel = steps == "per channel"
                repaired = ek.correct_bias(equalized, seen, per_channel=per_channel)
                variants = {"naive": model, "equalized": equalized, "bias corrected too": repaired}
                for name, variant in variants.items():
                    if per_channel:
                        file = ek.convert(variant, "int8", calibration=seen)["int8"]
                    else:
                        file = _per_tensor(variant, seen)
                    files[f"{steps}, {name}"] = file
        figures.append({n: _accuracy(f, x_test, data["y_test"]) for n, f in files.items()})
        print(f"seed {seed}: {figures[-1]}", flush=True)
    mean = {name: float(np.mean([found[name] for found in figures])) for name in figures[0]}
    for name, accuracy in mean.items():
        print(f"{name:32s} {accuracy:.2%}   {100 * (accuracy - mean['float']):+.2f} points")
    settings = {"imbalance": imbalance, "epochs": epochs, "test_images": len(x_test)}
    save({"settings": settings, "mean": mean, "seeds": figures}, out)


def _trained(x, y, seed, epochs):
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    h = image = keras.Input((28, 28, 1))
    h = layers.Conv2D(16, 3, strides=2, use_bias=False, name="conv0")(h)
    h = layers.ReLU()(layers.BatchNormalization(name="norm0")(h))
    for i, filters in enumerate((32, 48), start=1):
        h = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{i}")(h)
        h = layers.ReLU()(layers.BatchNormalization(name=f"depthwise_norm{i}")(h))
        h = layers.Conv2D(filters, 1, use_bias=False, name=f"conv{i}")(h)
        h = layers.ReLU()(layers.BatchNormalization(name=f"norm{i}")(h))
        h = layers.MaxPooling2D()(h)
    h = layers.GlobalAveragePooling2D()(h)
    model = keras.Model(image, layers.Dense(10)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    return model


def _unbalance(model, imbalance, seed):
    """Scale each channel before a depthwise layer, and its kernel back."""
    rng = np.random.default_rng(seed)
    norm, depthwise = model.get_layer("norm0"), model.get_layer("depthwise1")
    spread = np.log(imbalance)
    factor = np.exp(rng.uniform(-spread, spread, norm.gamma.shape)).astype("float32")
    norm.gamma.assign(norm.gamma * factor)
    norm.beta.assign(norm.beta * factor)
    depthwise.kernel.assign(depthwise.kernel / factor[:, None])


def _per_tensor(model, samples):
    import tensorflow as tf

    from converters import Flatbuffer

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_disable_per_channel = True
    return Flatbuffer(converter.convert())


def _accuracy(file, images, labels) -> float:
    return float(np.mean(file.predict(images).argmax(-1) == labels))


if __name__ == "__main__":
    main()
