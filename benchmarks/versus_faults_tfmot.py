"""Worker of benchmarks/versus_tfmot.py: which faults TFMOT shows, used as its guides say.

    python benchmarks/versus_faults_tfmot.py

Prints `{"number": [shown, what was seen]}` as JSON.
"""

import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from versus_faults_net import fit, net, regressions


def frozen_statistics() -> tuple:
    """1: does BatchNormalization train in a clustered model?"""
    model = clustered(net(tf_keras), 8)
    before = statistics_of(model)
    fit(tf_keras, model)
    moved = np.abs(statistics_of(model) - before).max()
    return moved == 0, f"moving mean moved by {moved:.3g} in a fit"


def skipped_layers() -> tuple:
    """2: is a Conv2D without bias clustered per channel?"""
    layers = tf_keras.layers
    source = tf_keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(8, 3, use_bias=False), layers.Flatten()]
    )
    model = per_channel(source)
    kinds = [type(layer).__name__ for layer in model.layers]
    return "Conv2D" in kinds, f"layers: {', '.join(kinds)}"


def broken_source() -> tuple:
    """3: can the model that was clustered still be trained?"""
    source = net(tf_keras)
    fit(tf_keras, clustered(source, 8))
    try:
        fit(tf_keras, source)
    except Exception as error:
        return True, f"{type(error).__name__} when the source is trained"
    return False, "the source trains"


def diverging() -> tuple:
    """4: does a clustered layer train at the rate that trained it?"""
    losses = regressions(tf_keras, lambda model: (clustered(model, 8), []))
    return not losses[1] < 1e3, f"loss {losses[0]:.2g} before, {losses[1]:.2g} clustered"


def duplicates() -> tuple:
    """5: does density-based initialisation give as many values as asked?"""
    kernel = clustered_normal(32, "DENSITY_BASED")
    return len(np.unique(kernel)) < 32, f"{len(np.unique(kernel))} values of 32"


def far_from_the_optimum() -> tuple:
    """6: how far is the error of 16 values from the least there is, 0.0095 on normal weights?"""
    error = np.mean((clustered_normal(16, "KMEANS_PLUS_PLUS") - NORMAL) ** 2)
    return error > 1.05 * 0.0095, f"mean squared error {error:.4f}"


def wide_ranges() -> tuple:
    """7: what range has an activation of 0 to 1 after 100 steps?"""
    layers = tf_keras.layers
    source = tf_keras.Sequential([layers.Input((4,)), layers.ReLU()])
    model = tfmot.quantization.keras.quantize_model(source)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((3200, 4)).astype("float32")
    model.fit(x, x, epochs=1, batch_size=32, verbose=0)
    found = [w.numpy() for w in model.weights if "output_max" in w.name or "_max" in w.name]
    largest = float(max(np.max(w) for w in found))
    return largest > 1.5, f"up to {largest:.2f}"


def ignored_bits() -> tuple:
    """8: how many levels does a FixedQuantizer of 4 bits give?"""
    from tensorflow_model_optimization.python.core.quantization.keras import quantizers

    quantizer = quantizers.FixedQuantizer(4, -1.0, 1.0, narrow_range=False)
    values = tf.linspace(-1.0, 1.0, 2000)
    levels = len(np.unique(quantizer(values, True, weights={})))
    return levels > 16, f"{levels} levels"


def nothing_pruned() -> tuple:
    """9: what does a fit of 99 steps to half prune?"""
    schedule = sparsity.ConstantSparsity(0.5, 0)
    model = sparsity.prune_low_magnitude(net(tf_keras), schedule)
    fit(tf_keras, model, [sparsity.UpdatePruningStep()], steps=99)
    found = zeros(sparsity.strip_pruning(model))
    return found < 0.45, f"{found:.0%} zeros, without a word"


def unmasked() -> tuple:
    """10: is what a checkpoint saves sparse, when its callback comes first?"""
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    model = sparsity.prune_low_magnitude(net(tf_keras), schedule)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "checkpoint.weights.h5")
        saving = tf_keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
        fit(tf_keras, model, [saving, sparsity.UpdatePruningStep()])
        model.load_weights(path)
    found = zeros(sparsity.strip_pruning(model))
    return found < 0.45, f"{found:.0%} zeros in the checkpoint"


def ties() -> tuple:
    """11: what becomes of weights of five values, pruned to half?"""
    source = tf_keras.Sequential(
        [tf_keras.layers.Input((40,)), tf_keras.layers.Dense(25, use_bias=False)]
    )
    values = np.random.default_rng(0).choice([-2, -1, 1, 2, 3], (40, 25)).astype("float32")
    source.set_weights([values])
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    model = sparsity.prune_low_magnitude(source, schedule)
    model.compile(tf_keras.optimizers.SGD(0.0), "mse")
    x = np.ones((64, 40), "float32")
    model.fit(x, np.ones((64, 25)), callbacks=[sparsity.UpdatePruningStep()], verbose=0)
    found = zeros(sparsity.strip_pruning(model))
    return abs(found - 0.5) > 0.02, f"{found:.0%} zeros"


def forgotten_pattern() -> tuple:
    """12: does a model keep its pattern when it is loaded and trained on?"""
    schedule = sparsity.ConstantSparsity(0.5, 0, frequency=1)
    model = sparsity.prune_low_magnitude(net(tf_keras), schedule, sparsity_m_by_n=(2, 4))
    fit(tf_keras, model, [sparsity.UpdatePruningStep()])
    with tempfile.TemporaryDirectory() as folder, sparsity.prune_scope():
        model.save(Path(folder) / "pruned.h5")
        model = tf_keras.models.load_model(Path(folder) / "pruned.h5", compile=False)
    fit(tf_keras, model, [sparsity.UpdatePruningStep()])
    kernel = sparsity.strip_pruning(model).get_layer("conv").kernel.numpy()
    kept = all((np.moveaxis(kernel, -2, -1) != 0).sum(axis=-1).ravel() <= 2)
    return not kept, "the pattern is " + ("kept" if kept else "lost")


def lost_zeros() -> tuple:
    """13: are the zeros of PQAT kept after saving and loading?"""
    source = net(tf_keras)
    for layer in source.layers:
        if hasattr(layer, "kernel"):
            kernel = layer.kernel.numpy()
            layer.kernel.assign(np.where(np.abs(kernel) < np.median(np.abs(kernel)), 0, kernel))
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    quantization = tfmot.quantization.keras
    model = quantization.quantize_apply(quantization.quantize_annotate_model(source), scheme)
    fit(tf_keras, model)
    with tempfile.TemporaryDirectory() as folder, quantization.quantize_scope():
        model.save(Path(folder) / "pqat.h5")
        model = tf_keras.models.load_model(Path(folder) / "pqat.h5", compile=False)
    fit(tf_keras, model)
    kernels = [w for w in model.weights if "kernel" in w.name and w.shape.rank > 1]
    kernels = [w.numpy() for w in kernels if "min" not in w.name and "max" not in w.name]
    found = sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels)
    return found < 0.45, f"{found:.0%} of zeros after loading and one more fit"


def no_reload() -> tuple:
    """14: does a quantisation-aware model come back from a `.keras` file?"""
    quantization = tfmot.quantization.keras
    model = quantization.quantize_model(net(tf_keras))
    with tempfile.TemporaryDirectory() as folder, quantization.quantize_scope():
        model.save(Path(folder) / "qat.keras")
        try:
            tf_keras.models.load_model(Path(folder) / "qat.keras", compile=False)
        except Exception as error:
            return True, f"{type(error).__name__}"
    return False, "it loads"


def no_mixed_precision() -> tuple:
    """15: do quantisation-aware training and clustering work in mixed_float16?"""
    failed = []
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        for name, way in {
            "quantisation": tfmot.quantization.keras.quantize_model,
            "clustering": lambda model: clustered(model, 8, "KMEANS_PLUS_PLUS"),
        }.items():
            try:
                fit(tf_keras, way(net(tf_keras)))
            except Exception as error:
                failed.append(f"{name}: {type(error).__name__}")
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    return bool(failed), "; ".join(failed) or "both train"


def changed_process() -> tuple:
    """16: what is tf.keras after the import?"""
    name = tf.keras.Model.__module__
    return name.startswith("tf_keras"), f"tf.keras.Model is of {name}"


def keras_3() -> tuple:
    """17: what is said of a Keras 3 model?"""
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    found = tfmot.clustering.keras.cluster_weights(
        model, number_of_clusters=4, cluster_centroids_init=INITS.LINEAR
    )
    return found is None, f"cluster_weights returns {found!r}"


def forgotten_callback() -> tuple:
    """18: is a forgotten callback noticed?"""
    model = sparsity.prune_low_magnitude(net(tf_keras))
    try:
        fit(tf_keras, model)
    except Exception as error:
        return False, f"{type(error).__name__} in the first step"
    return True, "it trains without pruning"


def no_resnet() -> tuple:
    """19: does a quantisation-aware ResNet50 run in LiteRT?"""
    source = tf_keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    model = tfmot.quantization.keras.quantize_model(source)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((8, 64, 64, 3)).astype("float32")
    model.fit(x, np.zeros((8, 10)), verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    from converters import Flatbuffer

    try:
        Flatbuffer(content).predict(x[:1])
    except Exception as error:
        return True, str(error).splitlines()[0][:120]
    return False, "it runs"


FAULTS = dict(
    enumerate(
        (
            frozen_statistics,
            skipped_layers,
            broken_source,
            diverging,
            duplicates,
            far_from_the_optimum,
            wide_ranges,
            ignored_bits,
            nothing_pruned,
            unmasked,
            ties,
            forgotten_pattern,
            lost_zeros,
            no_reload,
            no_mixed_precision,
            changed_process,
            keras_3,
            forgotten_callback,
            no_resnet,
        ),
        1,
    )
)
NORMAL = np.random.default_rng(0).normal(size=(256, 256)).astype("float32")


def clustered(model, count, init="LINEAR"):
    """The whole model, as the guide does it."""
    return tfmot.clustering.keras.cluster_weights(
        model, number_of_clusters=count, cluster_centroids_init=INITS[init]
    )


def per_channel(model):
    """The same per channel."""
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    return cluster.cluster_weights(
        model,
        number_of_clusters=4,
        cluster_centroids_init=INITS.LINEAR,
        cluster_per_channel=True,
    )


def clustered_normal(count, init):
    """A kernel of normal weights with so many values."""
    source = tf_keras.Sequential(
        [tf_keras.layers.Input((256,)), tf_keras.layers.Dense(256, use_bias=False)]
    )
    source.set_weights([NORMAL])
    model = tfmot.clustering.keras.strip_clustering(clustered(source, count, init))
    return model.get_weights()[0]


def statistics_of(model):
    """Its BatchNormalization's moving mean."""
    (found,) = [w.numpy() for w in model.weights if "moving_mean" in w.name]
    return found


def zeros(model) -> float:
    """Share of zeros over all kernels."""
    kernels = [w.numpy() for w in model.weights if "kernel" in w.name]
    return float(sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # whether the import sets it is a question here
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

    sparsity, INITS = tfmot.sparsity.keras, tfmot.clustering.keras.CentroidInitialization
    found = {}
    for number, probe in FAULTS.items():
        shown, seen = probe()
        found[number] = [bool(shown), seen]
    print(json.dumps(found))
