"""Worker of benchmarks/versus_tfmot.py: TFMOT's faults, looked for in edgekit.

    python benchmarks/versus_faults_edgekit.py

Prints `{"number": [shown, what was seen]}` as JSON.
"""

import json
import os
import tempfile
import warnings
from pathlib import Path

import keras
import numpy as np
from versus_faults_net import fit, net, regressions

import edgekit as ek

NORMAL = np.random.default_rng(0).normal(size=(256, 256)).astype("float32")


def frozen_statistics() -> tuple:
    """1: does BatchNormalization train in a clustered model?"""
    model = net(keras)
    before = np.array(model.get_layer("bn").moving_mean)
    fit(keras, model, [ek.WeightClustering(8)])
    moved = np.abs(np.asarray(model.get_layer("bn").moving_mean) - before).max()
    return moved == 0, f"moving mean moved by {moved:.3g} in a fit"


def skipped_layers() -> tuple:
    """2: is a Conv2D without bias clustered per channel?"""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, use_bias=False, name="conv"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    fit(keras, model, [ek.WeightClustering(4, granularity="channel")])
    kernel = np.asarray(model.get_layer("conv").kernel)
    most = max(len(np.unique(kernel[..., c])) for c in range(8))
    return most > 4, f"{most} values in a channel"


def broken_source() -> tuple:
    """3: can the model that was clustered still be trained?"""
    model = net(keras)
    fit(keras, model, [ek.WeightClustering(8)])
    return failing(lambda: fit(keras, model), "it is the same model, and trains")


def diverging() -> tuple:
    """4: does a clustered layer train at the rate that trained it?"""
    losses = regressions(keras, lambda model: (model, [ek.WeightClustering(8)]))
    return not losses[1] < 1e3, f"loss {losses[0]:.2g} before, {losses[1]:.2g} clustered"


def duplicates() -> tuple:
    """5: does density-based initialisation give as many values as asked?"""
    found = len(np.unique(clustered_normal(32, "density")))
    return found < 32, f"{found} values of 32"


def far_from_the_optimum() -> tuple:
    """6: how far is the error of 16 values from the least there is, 0.0095 on normal weights?"""
    error = np.mean((clustered_normal(16, "kmeans++") - NORMAL) ** 2)
    return error > 1.05 * 0.0095, f"mean squared error {error:.4f}"


def wide_ranges() -> tuple:
    """7: what range has an activation of 0 to 1 after 100 steps?"""
    model = keras.Sequential([keras.Input((4,)), keras.layers.ReLU()])
    model = ek.quantize_aware(model)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((3200, 4)).astype("float32")
    model.fit(x, x, epochs=1, batch_size=32, verbose=0)
    largest = max(float(np.max(w)) for w in model.weights if "max" in w.path)
    return largest > 1.5, f"up to {largest:.2f}"


def ignored_bits() -> tuple:
    """8: how many levels do 4 bits give?"""
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, use_bias=False)])
    qat = ek.quantize_aware(model, "int4")
    qat.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
    qat.fit(x, x, verbose=0)
    weights = ek.inspect(ek.convert(qat, ["int4"])["int4"]).weights
    levels = max(weight.distinct for weight in weights)
    return levels > 16, f"{levels} levels"


def nothing_pruned() -> tuple:
    """9: what does a fit of 99 steps to half prune?"""
    model = net(keras)
    fit(keras, model, [ek.GradualPruning(0.5, ek.schedules.Constant())], steps=99)
    return zeros(model) < 0.45, f"{zeros(model):.0%} zeros"


def unmasked() -> tuple:
    """10: is what a checkpoint saves sparse, when its callback comes first?"""
    model = net(keras)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "checkpoint.weights.h5")
        saving = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
        fit(keras, model, [saving, ek.GradualPruning(0.5, ek.schedules.Constant())])
        model.load_weights(path)
    return zeros(model) < 0.45, f"{zeros(model):.0%} zeros in the checkpoint"


def ties() -> tuple:
    """11: what becomes of weights of five values, pruned to half?"""
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(25, use_bias=False)])
    model.set_weights(
        [np.random.default_rng(0).choice([-2, -1, 1, 2, 3], (40, 25)).astype("float32")]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse")
    pruning = ek.GradualPruning(0.5, ek.schedules.Constant())
    model.fit(np.ones((64, 40)), np.ones((64, 25)), callbacks=[pruning], verbose=0)
    return abs(zeros(model) - 0.5) > 0.02, f"{zeros(model):.0%} zeros"


def forgotten_pattern() -> tuple:
    """12: does a model keep its pattern when it is loaded and trained on?"""
    model = net(keras)
    fit(keras, model, [ek.GradualPruning(granularity=(2, 4))])
    model = reloaded(model)
    fit(keras, model, [ek.KeepSparsity()])
    kernel = np.asarray(model.get_layer("conv").kernel)
    kept = all((np.moveaxis(kernel, -2, -1) != 0).sum(axis=-1).ravel() <= 2)
    return not kept, "the pattern is " + ("kept" if kept else "lost")


def lost_zeros() -> tuple:
    """13: are zeros kept through quantisation-aware training, saving and loading?"""
    model = net(keras)
    fit(keras, model, [ek.GradualPruning(0.5)])
    qat = ek.quantize_aware(model)
    fit(keras, qat, [ek.KeepSparsity()])
    qat = reloaded(qat)
    fit(keras, qat, [ek.KeepSparsity()])
    found = zeros(ek.strip(qat))
    return found < 0.45, f"{found:.0%} of zeros after loading and one more fit"


def no_reload() -> tuple:
    """14: does a quantisation-aware model come back from a `.keras` file?"""
    return failing(lambda: reloaded(ek.quantize_aware(net(keras))), "it loads")


def no_mixed_precision() -> tuple:
    """15: do quantisation-aware training and clustering work in mixed_float16?"""

    def both():
        fit(keras, ek.quantize_aware(net(keras)))
        fit(keras, net(keras), [ek.WeightClustering(8, "kmeans++")])

    keras.config.set_dtype_policy("mixed_float16")
    try:
        return failing(both, "both train")
    finally:
        keras.config.set_dtype_policy("float32")


def changed_process() -> tuple:
    """16: what is tf.keras after the import?"""
    import tensorflow as tf

    name = tf.keras.Model.__module__
    changed = name.startswith("tf_keras") or "TF_USE_LEGACY_KERAS" in os.environ
    return changed, f"tf.keras.Model is of {name}"


def keras_3() -> tuple:
    """17: what is said of a Keras 3 model?"""
    model = net(keras)
    fit(keras, model, [ek.WeightClustering(4)])
    values = len(np.unique(np.asarray(model.get_layer("conv").kernel)))
    return values > 4, f"it is clustered to {values} values"


def forgotten_callback() -> tuple:
    """18: is a forgotten callback noticed? There is one only after pruning: KeepSparsity."""
    model = net(keras)
    fit(keras, model, [ek.GradualPruning(0.5)])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit(keras, model)
    lost = zeros(model) < 0.45
    return lost and not told, f"{zeros(model):.0%} zeros after a fit without KeepSparsity"


def no_resnet() -> tuple:
    """19: does a quantisation-aware ResNet50 run in LiteRT?"""
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    model = ek.quantize_aware(model)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((8, 64, 64, 3)).astype("float32")
    model.fit(x, np.zeros((8, 10)), verbose=0)
    return failing(lambda: ek.convert(model, ["int8"])["int8"].predict(x[:1]), "it runs")


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


def failing(run, well: str) -> tuple:
    """Whether it fails, and how."""
    try:
        run()
    except Exception as error:
        return True, f"{type(error).__name__}: {error}"[:120]
    return False, well


def clustered_normal(count, init):
    """A kernel of normal weights with so many values."""
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256, use_bias=False)])
    model.set_weights([NORMAL])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.ones((32, 256), "float32")
    model.fit(x, x, callbacks=[ek.WeightClustering(count, init)], verbose=0)
    return model.get_weights()[0]


def reloaded(model):
    """The model from a file."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return keras.saving.load_model(Path(folder) / "model.keras", compile=False)


def zeros(model) -> float:
    """Share of zeros over all kernels."""
    kernels = [np.asarray(w) for w in model.weights if w.path.endswith("kernel")]
    return float(sum(np.sum(k == 0) for k in kernels) / sum(k.size for k in kernels))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    found = {}
    for number, probe in FAULTS.items():
        shown, seen = probe()
        found[number] = [bool(shown), seen]
    print(json.dumps(found))
