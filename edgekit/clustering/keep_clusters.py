"""Holding the clusters of a model through more training."""

from edgekit.clustering.clustering_callback import ClusteringCallback
from edgekit.clustering.clusters import as_they_are
from edgekit.core.kept_zeros import kernels_with_zeros
from edgekit.core.low_rank import refuse_adapted
from edgekit.core.selection import LayerFilter


class KeepClusters(ClusteringCallback):
    """Keeps weights that are equal today equal through the fit.

    For fine-tuning, quantisation-aware training or distillation after clustering: the shared
    values train, by the mean of their members' steps. Zeros stay zero, also in kernels that were
    pruned but not clustered, and in what a filter that is wholly zero adds after it, as
    `ek.KeepSparsity` keeps them. All other weights train freely.

    An int8 file has a scale per output channel, so each channel keeps its number of values, but one
    value becomes other integers in other channels. With one scale for all of a kernel, the whole
    tensor of the file has no more integers than the kernel has values; a BatchNormalization would
    multiply each channel by a number of its own, so fold it into its layer before you cluster.

    Example:
        >>> folded = ek.fold_batchnorm(model)
        >>> folded.compile(...)
        >>> folded.fit(x, y, callbacks=[ek.WeightClustering(16)])
        >>> qat = ek.quantize_aware(folded, ek.QuantScheme(per_channel=False))
        >>> qat.compile(...)
        >>> qat.fit(x, y, callbacks=[ek.KeepClusters()])
        >>> max(w.distinct for w in ek.inspect(ek.convert(qat, ["int8"])["int8"]).weights)
        16

    Args:
        layers: Which layers: a regular expression on the path, a list of them, or a callable.
            Defaults to `None`: all.

    Raises:
        ValueError: Before the first step, when no selected kernel has shared weights, or one with
            such is adapted by LoRA.
    """

    def __init__(self, layers: LayerFilter = None):
        super().__init__()
        self.layers = layers

    def on_train_batch_begin(self, batch, logs=None):
        if self._is_to_take_hold(batch):
            self._hold_todays()

    def on_train_batch_end(self, batch, logs=None):
        self._verify_once()

    def _hold_todays(self) -> None:
        for holding in self._holdings():
            holding.release()
        refuse_adapted(
            "KeepClusters",
            self.model,
            self.layers,
            lambda kernel: as_they_are(kernel).shared,
            "shared values",
        )
        found = self._find_kernels(self.layers, depthwise=True)
        pairs = [(kernel, as_they_are(kernel.weights)) for kernel in found]
        shared = [(kernel, clusters) for kernel, clusters in pairs if clusters.shared]
        if not shared:
            raise ValueError(
                f"KeepClusters: none of the {len(pairs)} selected kernels has shared weights; "
                "cluster the model first (ek.WeightClustering)"
            )
        self._kernels = [kernel for kernel, _ in shared]
        sparse = kernels_with_zeros("KeepClusters", found, named=self.layers is not None)
        self._hold([clusters for _, clusters in shared], sparse)
