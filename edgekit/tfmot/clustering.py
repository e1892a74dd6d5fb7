"""`ek.tfmot.cluster`: TFMOT's weight clustering."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np

from edgekit.core.selection import LayerFilter, chosen_values, layer_path
from edgekit.tfmot.engine import (
    check_source,
    copied,
    flat_layers,
    load_tfmot,
    wrapped,
)
from edgekit.tfmot.remote import remotely

_INITS = {
    "linear": "LINEAR",
    "density": "DENSITY_BASED",
    "random": "RANDOM",
    "kmeans++": "KMEANS_PLUS_PLUS",
}
_GRADIENTS = {"mean": "AVG", "sum": "SUM"}
_CLUSTERED = (
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "SeparableConv2D",
    "Dense",
    "Embedding",
)


@remotely
def cluster(
    model,
    clusters: int | Mapping[str, int],
    init: str = "linear",
    keep_zeros: bool = True,
    layers: LayerFilter = None,
    granularity: str = "tensor",
    gradient: str = "mean",
) -> tuple:
    """The model in TFMOT's clustering wrappers, and the callbacks that its fit needs: none.

    Only layers with kernels are wrapped: TFMOT's wrapper does not tell the layer inside whether
    it trains, which would freeze BatchNormalization and switch Dropout off.

    Example:
        >>> clustered, callbacks = ek.tfmot.cluster(model, 16)
        >>> clustered, callbacks = ek.tfmot.cluster(model, {"conv": 64, "dense": 16}, "kmeans++")

    Args:
        model: A built Sequential or Functional model, of tf_keras or Keras 3; it stays as it is.
        clusters: How many distinct values a kernel may have, or `{regex: number}` by layer.
        init: `"linear"`, `"density"`, `"random"` or `"kmeans++"`, where TFMOT's values start.
            Defaults to `"linear"`.
        keep_zeros: Whether zeros stay zero. Defaults to `True`.
        layers: Which layers: a regular expression, a list of them, or a callable. Defaults to
            `None`: all with a kernel, depthwise ones excepted.
        granularity: What shares values: the `"tensor"`, or each output `"channel"` (of Conv2D
            with a bias: TFMOT leaves others as they are). Defaults to `"tensor"`.
        gradient: Whether a value moves by the `"mean"` of its members' gradients or by their
            `"sum"`, TFMOT's own default, which takes a learning rate so much smaller. Defaults
            to `"mean"`.

    Returns:
        `(model, callbacks)`. Once trained, `ek.tfmot.strip` gives the plain model.

    Raises:
        TypeError: `keep_zeros` is no bool.
        ValueError: A value outside its range, nothing to cluster, or a layer that TFMOT would
            leave as it is without a word.
        ImportError: TFMOT is not installed (extra `tfmot`).

    Source: Han et al. 2015, arXiv 1510.00149, as TFMOT has it.
    """
    check_source(model)
    if not isinstance(keep_zeros, bool):
        raise TypeError(f"`keep_zeros` must be True or False. Received: {keep_zeros!r}")
    for name, value, known in (
        ("init", init, _INITS),
        ("gradient", gradient, _GRADIENTS),
        ("granularity", granularity, ("tensor", "channel")),
    ):
        if value not in known:
            raise ValueError(f"`{name}` must be one of {', '.join(known)}. Received: {value!r}")
    tfmot = load_tfmot()
    from tensorflow_model_optimization.python.core.clustering.keras import cluster_config
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
        cluster as clustering,
    )

    model = copied(model)
    candidates = [layer for layer in flat_layers(model) if type(layer).__name__ in _CLUSTERED]
    if not candidates:
        raise ValueError(f"TFMOT clusters no layer of {model.name!r}")
    counts = chosen_values(candidates, layers, clusters, "clusters")
    for layer, count in counts.items():
        _check(layer, count, granularity, fewest=3 if keep_zeros else 2)
    settings = {
        "cluster_centroids_init": tfmot.clustering.keras.CentroidInitialization[_INITS[init]],
        "preserve_sparsity": keep_zeros,
        "cluster_per_channel": granularity == "channel",
        "cluster_gradient_aggregation": cluster_config.GradientAggregation[_GRADIENTS[gradient]],
    }

    def wrap(layer):
        if layer not in counts:
            return layer
        return clustering.cluster_weights(layer, number_of_clusters=counts[layer], **settings)

    return wrapped(model, wrap), []


def _check(layer, count, granularity: str, fewest: int) -> None:
    name = layer_path(layer)
    if isinstance(count, bool) or not isinstance(count, Integral) or count < fewest:
        zero = ", zero among them (keep_zeros=False: 2)" if fewest == 3 else ""
        raise ValueError(
            f"`clusters` of {name!r} must be a whole number ≥ {fewest}{zero}. Received: {count!r}"
        )
    if granularity == "channel" and type(layer).__name__ == "Conv2D" and not layer.use_bias:
        raise ValueError(
            f"TFMOT leaves {name!r} as it is: it clusters no Conv2D(use_bias=False) per channel. "
            "Leave it out with `layers`, or cluster the tensor"
        )
    kernel = max(layer.trainable_weights or layer.weights, key=lambda w: np.prod(w.shape))
    weights = int(np.prod(kernel.shape))
    if granularity == "channel" and type(layer).__name__ == "Conv2D":
        weights //= layer.filters
    if count >= weights:
        raise ValueError(
            f"TFMOT leaves {name!r} as it is: {count} clusters are no fewer than its {weights} "
            f"weights{' per channel' if granularity == 'channel' else ''}. Ask for fewer, or "
            "leave it out with `layers`"
        )
