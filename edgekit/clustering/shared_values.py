"""Holding weights at their clusters' values while the values train."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgekit.clustering.clusters import Clusters, reassign
from edgekit.clustering.look_up import look_up
from edgekit.core.constraints import hold, release, retrace_training, write

GRADIENTS = ("mean", "sum")


class SharedValue(keras.constraints.Constraint):
    """Moves all weights of a cluster alike, after the optimizer has moved each by itself.

    Args:
        model: The model, whose distribution strategy counts.
        variable: The weights.
        clusters: Which value each has now.
        keep_zeros: Whether a value of zero stays.
        gradient: `"mean"` moves a cluster by the mean of its members' steps, `"sum"` by their sum.
        latent: Whether to keep what each weight would be by itself.

    Source: Han et al. 2015, Deep Compression, arXiv 1510.00149, section 3.3.
    """

    def __init__(self, model, variable, clusters: Clusters, keep_zeros, gradient, latent):
        self._sum = gradient == "sum"
        free = ~(keep_zeros & (clusters.codebook == 0))
        self._count = len(clusters.codebook)
        with model.distribute_strategy.scope():
            self.indices = _state(variable, "indices", clusters.indices, "int32")
            self.counts = _state(variable, "counts", clusters.counts, "float64")
            self.codebook = _state(variable, "codebook", clusters.codebook, "float32")
            self._free = _state(variable, "free", free, "float64")
            self._mirrors = None
            if clusters.mirrors is not None:
                self._mirrors = _state(variable, "mirrors", clusters.mirrors, "int32")
            self.latent = _state(variable, "latent", variable, "float32") if latent else None

    def __call__(self, value):
        value = ops.convert_to_tensor(value)
        single = tf.cast(value, "float32")
        if self.latent is not None:
            self.latent.assign_add(single - look_up(self.codebook.value, self.indices.value))
        codebook = self._moved(self._means(single))
        if self._sum or self.latent is not None:
            self.codebook.assign(codebook)
        return tf.cast(look_up(codebook, self.indices.value), value.dtype)

    def centroids(self, value):
        """The mean of each cluster's members, wherever the weights come from."""
        return tf.cast(self._means(tf.cast(value, "float32")) * self._free.value, "float32")

    def settle(self, value):
        """The mean of its cluster for each weight."""
        return tf.cast(look_up(self.centroids(value), self.indices.value), value.dtype)

    def written(self, value) -> None:
        """What the next step starts from. Weights by themselves follow at that step."""
        if self._sum:
            self.codebook.assign(self.centroids(value))

    def move(self, indices: np.ndarray) -> None:
        """Let each weight belong to another value."""
        self.indices.assign(indices)
        self.counts.assign(np.bincount(indices.ravel(), minlength=self._count))

    def _moved(self, means):
        """The values of the clusters after a step that led their members to these means."""
        if self._sum:
            old = tf.cast(self.codebook.value, "float64")
            means = old + self.counts.value * (means - old)
        return tf.cast(means * self._free.value, "float32")

    def _means(self, value):
        """The mean of the members of each cluster; that of before where there are none."""
        # In float64: sums over many equal float32 drift. The plain op: ten times faster than
        # segment sums, and without the checks of tf.math.bincount.
        counts = tf.convert_to_tensor(self.counts.value)
        sums = tf.raw_ops.DenseBincount(
            input=tf.reshape(self.indices.value, [-1]),
            size=self._count,
            weights=tf.cast(tf.reshape(value, [-1]), "float64"),
        )
        if self._mirrors is not None:
            mirrors = tf.convert_to_tensor(self._mirrors.value)
            sums = (sums - tf.gather(sums, mirrors)) / 2
            counts = (counts + tf.gather(counts, mirrors)) / 2
        old = tf.cast(self.codebook.value, "float64")
        return tf.where(counts > 0, sums / tf.maximum(counts, 1.0), old)


class HeldClusters:
    """Clusters over some variables of a model, held through a fit.

    Args:
        model: The model that is about to train.
        variables: The variables to hold.
        clusters: Their clusters; the weights take their values at once.
        keep_zeros: Whether a value of zero stays. Defaults to `True`.
        gradient: See `SharedValue`. Defaults to `"mean"`.
        latent: See `SharedValue`. Defaults to `False`.
    """

    def __init__(
        self,
        model: keras.Model,
        variables: Sequence[keras.Variable],
        clusters: Sequence[Clusters],
        keep_zeros: bool = True,
        gradient: str = "mean",
        latent: bool = False,
    ):
        self._model, self._keep_zeros = model, keep_zeros
        self._held: list[tuple[keras.Variable, SharedValue, np.ndarray | None]] = []
        for variable, found in zip(variables, clusters, strict=True):
            shared = SharedValue(model, variable, found, keep_zeros, gradient, latent)
            with model.distribute_strategy.scope():
                variable.assign(found.values)
            self._held.append((variable, shared, found.owners))
        self._pairs = [(variable, shared) for variable, shared, _ in self._held]
        hold(model, self._pairs)
        retrace_training(model)

    @property
    def variables(self) -> list[keras.Variable]:
        """What is held."""
        return [variable for variable, _, _ in self._held]

    @property
    def indices(self) -> list[np.ndarray]:
        """The number of each weight's value."""
        return [ops.convert_to_numpy(shared.indices) for _, shared, _ in self._held]

    @property
    def codebooks(self) -> list[np.ndarray]:
        """The values now, NaN where none of the weights has it."""
        found = []
        for (variable, shared, _), indices in zip(self._held, self.indices, strict=True):
            codebook = np.full(shared.counts.shape[0], np.nan, "float32")
            codebook[indices.ravel()] = ops.convert_to_numpy(variable).ravel()
            found.append(codebook)
        return found

    @property
    def holds(self) -> bool:
        """Whether all weights of each cluster are equal."""
        for (variable, _, _), codebook, indices in zip(
            self._held, self.codebooks, self.indices, strict=True
        ):
            values = np.asarray(ops.convert_to_numpy(variable), "float32")
            if not np.array_equal(codebook[indices], values, equal_nan=True):
                return False
        return True

    def refresh(self) -> None:
        """Let each weight join the value that is nearest to where its own steps have led it."""
        for (variable, shared, owners), indices in zip(self._held, self.indices, strict=True):
            codebook = ops.convert_to_numpy(shared.codebook)
            clusters = Clusters(codebook, indices, owners=owners)
            moved = reassign(ops.convert_to_numpy(shared.latent), clusters)
            if self._keep_zeros:
                moved = np.where(clusters.values == 0, indices, moved)
            with self._model.distribute_strategy.scope():
                shared.move(moved)
                write(variable, codebook[moved])

    def follow(self) -> None:
        """Take the weights as they are for what the next step starts from.

        Callbacks may have written others since the last one, which is no step to follow.
        """
        with self._model.distribute_strategy.scope():
            for variable, shared, _ in self._held:
                shared.codebook.assign(shared.centroids(ops.convert_to_tensor(variable)))

    def apply(self) -> None:
        """Give all weights of a cluster one value now, whatever has come in since the last step."""
        with self._model.distribute_strategy.scope():
            for variable, shared, _ in self._held:
                write(variable, shared.settle(ops.convert_to_tensor(variable)))

    def release(self) -> None:
        """Let the variables go; they keep their values of now."""
        release(self._model, self._pairs)
        retrace_training(self._model)


def _state(variable, name: str, value, dtype: str) -> keras.Variable:
    return keras.Variable(
        np.asarray(value, dtype),
        dtype=dtype,
        trainable=False,
        # Each replica comes to the same.
        aggregation="only_first_replica",
        name=f"{variable.name}_{name}",
    )
