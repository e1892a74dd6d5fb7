"""Worker of benchmarks/clustering.py: one engine's clustering of a Dense layer.

    python benchmarks/clustering_worker.py edgekit apply --clusters 256

`apply` clusters the layer and prints seconds, peak memory and error; `steps` times steps of `fit`
plain and clustered; `predict` times inference.
"""

import json
import resource
import statistics
import time

import click
import numpy as np
from fit_turns import time_fits

UNITS, BATCH = 1024, 64


class Edgekit:
    """Keras 3 with edgekit."""

    def __init__(self):
        import keras

        import edgekit as ek

        self.keras, self._ek = keras, ek

    def apply(self, model, clusters: int, init: str):
        """Cluster the model's kernels at once; gives the kernel's values."""
        callback = self._ek.WeightClustering(clusters, init)
        callback.set_model(model)
        callback.set_params({"steps": 1, "epochs": 1})
        callback.on_train_begin()
        callback.on_epoch_begin(0)
        callback.on_train_batch_begin(0)
        return np.asarray(model.layers[-1].kernel)

    def clustered(self, model, clusters: int) -> tuple:
        """`(model, callbacks)` for a fit that trains clusters."""
        return model, [self._ek.WeightClustering(clusters)]


class Tfmot:
    """tf_keras with TensorFlow Model Optimization."""

    def __init__(self):
        import tensorflow_model_optimization as tfmot
        import tf_keras

        self.keras, self._clustering = tf_keras, tfmot.clustering.keras

    def apply(self, model, clusters: int, init: str):
        """Wrap the model, strip it; gives the kernel's values."""
        wrapped = self._wrapped(model, clusters, init)
        return self._clustering.strip_clustering(wrapped).layers[-1].kernel.numpy()

    def clustered(self, model, clusters: int) -> tuple:
        """The wrapped model."""
        return self._wrapped(model, clusters, "linear"), []

    def _wrapped(self, model, clusters, init):
        inits = self._clustering.CentroidInitialization
        chosen = {"linear": inits.LINEAR, "kmeans++": inits.KMEANS_PLUS_PLUS}[init]
        return self._clustering.cluster_weights(
            model, number_of_clusters=clusters, cluster_centroids_init=chosen
        )


ENGINES = {"edgekit": Edgekit, "tfmot": Tfmot}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.argument("what", type=click.Choice(["apply", "steps", "predict"]))
@click.option("--clusters", default=256, show_default=True)
@click.option("--init", default="kmeans++", show_default=True)
@click.option("--rounds", default=4, show_default=True)
def main(engine, what, clusters, init, rounds):
    """Measure and print JSON."""
    engine = ENGINES[engine]()
    keras = engine.keras
    keras.utils.set_random_seed(0)
    found = {"apply": _apply, "steps": _steps, "predict": _predict}[what]
    print(json.dumps(found(engine, clusters, init, rounds)))


def _model(keras):
    inputs = keras.Input((UNITS,))
    model = keras.Model(inputs, keras.layers.Dense(UNITS, name="dense")(inputs))
    weights = np.random.default_rng(0).standard_normal((UNITS, UNITS)).astype("float32")
    model.layers[-1].set_weights([weights, np.zeros(UNITS, "float32")])
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    return model, weights


def _apply(engine, clusters, init, rounds) -> dict:
    small = engine.keras.Sequential([engine.keras.Input((4,)), engine.keras.layers.Dense(8)])
    small.compile("adam", "mse")
    engine.apply(small, 2, init)  # what is loaded at the first use
    model, weights = _model(engine.keras)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    values = engine.apply(model, clusters, init)
    seconds = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "seconds": round(seconds, 3),
        "peak_mb": round(grown / 1024, 1),
        "distinct": len(np.unique(values)),
        "error": float(np.mean((weights - values) ** 2) / weights.var()),
    }


def _steps(engine, clusters, init, rounds) -> dict:
    fits = {"plain": (_model(engine.keras)[0], [])}
    model, callbacks = engine.clustered(_model(engine.keras)[0], clusters)
    model.compile(engine.keras.optimizers.Adam(1e-4), "mse")
    fits["clustered"] = (model, callbacks)
    return time_fits(engine.keras, fits, _data(), rounds)


def _predict(engine, clusters, init, rounds) -> dict:
    import tensorflow as tf

    plain = _model(engine.keras)[0]
    model, callbacks = engine.clustered(_model(engine.keras)[0], clusters)
    model.compile(engine.keras.optimizers.Adam(1e-4), "mse")
    model.fit(_data().take(2), verbose=0, callbacks=callbacks)
    x = tf.constant(np.random.default_rng(0).random((BATCH, UNITS), "float32"))
    seconds = {"plain": [], "clustered": []}
    calls = {name: tf.function(m) for name, m in (("plain", plain), ("clustered", model))}
    for _ in range(50 * rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call(x, training=False)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[10:]) for name, times in seconds.items()}
    return {
        "ms": {name: round(1000 * median, 3) for name, median in medians.items()},
        "ratio": round(medians["clustered"] / medians["plain"], 3),
    }


def _data():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH * 20, UNITS)).astype("float32")
    y = rng.standard_normal((BATCH * 20, UNITS)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)
    return data.cache().repeat()


if __name__ == "__main__":
    main()
