"""`ek.tfmot.prune`: TFMOT's magnitude pruning."""

from collections.abc import Mapping
from numbers import Real

from edgekit.core.selection import LayerFilter, chosen_values, layer_path
from edgekit.pruning.granularities import Block
from edgekit.pruning.schedules import Polynomial, Schedule, check_schedule
from edgekit.tfmot.engine import (
    check_source,
    copied,
    flat_layers,
    load_tfmot,
    wrapped,
)
from edgekit.tfmot.remote import remotely


@remotely
def prune(
    model,
    sparsity: float | Mapping[str, float] | None = None,
    schedule: Schedule | None = None,
    granularity: str | tuple[int, int] | Block = "weight",
    layers: LayerFilter = None,
) -> tuple:
    """The model in TFMOT's pruning wrappers, and the callbacks that its fit needs.

    Example:
        >>> pruned, callbacks = ek.tfmot.prune(model, 0.8)
        >>> pruned, callbacks = ek.tfmot.prune(model, granularity=(2, 4))
        >>> pruned, callbacks = ek.tfmot.prune(model, 0.5, granularity=ek.granularities.Block(1, 4))

    Args:
        model: A built Sequential or Functional model, of tf_keras or Keras 3; it stays as it is.
        sparsity: Share of weights that end up zero, or `{regex: share}` by layer. Defaults to
            `None`, for an (n, m) pattern only.
        schedule: An `ek.schedules` object. Defaults to `None`: `Polynomial()`. TFMOT makes
            patterns at once in the first step, whatever it says.
        granularity: `"weight"`; a pattern `(n, m)`; or `ek.granularities.Block(h, w)`, which
            TFMOT makes of Dense kernels only. Defaults to `"weight"`.
        layers: Which layers: a regular expression, a list of them, or a callable. Defaults to
            `None`: all that TFMOT prunes.

    Returns:
        `(model, callbacks)`. Once trained, `ek.tfmot.strip` gives the plain model.

    Raises:
        TypeError: `schedule` is none.
        ValueError: A value outside its range, a granularity that TFMOT has not, nothing to
            prune; or, when the fit begins, a fit too short for the schedule.
        ImportError: TFMOT is not installed (extra `tfmot`).

    Source: Zhu & Gupta 2017, arXiv 1710.01878, as TFMOT has it.
    """
    check_source(model)
    check_schedule(schedule)
    settings = _settings(granularity)
    tfmot = load_tfmot()
    from edgekit.tfmot.schedule import PlannedSchedule
    from edgekit.tfmot.update_pruning import UpdatePruning

    if "sparsity_m_by_n" in settings:
        zeros, of = settings["sparsity_m_by_n"]
        if sparsity not in (None, zeros / of):
            raise ValueError(
                f"a pattern {granularity} makes {zeros / of:.0%} zeros: leave `sparsity` out. "
                f"Received: sparsity={sparsity!r}"
            )
        sparsity = zeros / of
    if sparsity is None:
        raise ValueError("`sparsity` is needed, except with an (n, m) granularity")
    model = copied(model)
    candidates = [layer for layer in flat_layers(model) if _is_pruned(layer, settings)]
    if not candidates:
        raise ValueError(f"TFMOT prunes no layer of {model.name!r} by {granularity!r}")
    wanted = chosen_values(candidates, layers, sparsity, "sparsity")
    for layer, share in wanted.items():
        if not isinstance(share, Real) or not 0 <= share < 1:
            name = layer_path(layer)
            raise ValueError(
                f"`sparsity` of {name!r} must be from 0 to below 1. Received: {share!r}"
            )
    schedule = schedule or Polynomial()

    def wrap(layer):
        if layer not in wanted:
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(
            layer, pruning_schedule=PlannedSchedule(schedule, wanted[layer]), **settings
        )

    return wrapped(model, wrap), [UpdatePruning()]


def _settings(granularity) -> dict:
    """TFMOT's arguments for it."""
    if granularity == "weight":
        return {}
    if isinstance(granularity, Block):
        return {"block_size": (granularity.height, granularity.width), "block_pooling_type": "AVG"}
    if isinstance(granularity, (tuple, list)) and len(granularity) == 2:
        n, m = granularity
        if not (isinstance(n, int) and isinstance(m, int) and 0 < n < m):
            raise ValueError(
                "a pattern (n, m) keeps n of m weights, 0 < n < m. Received: "
                f"granularity={granularity!r}"
            )
        return {"sparsity_m_by_n": (m - n, m)}
    raise ValueError(
        "`granularity` must be 'weight', a pattern (n, m) or ek.granularities.Block(h, w): TFMOT "
        f"prunes no others. Received: {granularity!r}"
    )


def _is_pruned(layer, settings: dict) -> bool:
    """Whether TFMOT prunes weights of the layer, in that way."""
    name = type(layer).__name__
    if not _has_kernels(layer):
        return False
    if "block_size" in settings:
        return name == "Dense"
    if "sparsity_m_by_n" in settings:
        zeros, of = settings["sparsity_m_by_n"]
        # Of fewer channels TFMOT zeroes none: it fills groups up with zeros, and takes these.
        return name in ("Dense", "Conv2D") and layer.kernel.shape[-2] > of - zeros
    return True


def _has_kernels(layer) -> bool:
    """Whether TFMOT names weights of the layer to prune: it also wraps layers without any."""
    from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry

    registry = prune_registry.PruneRegistry
    if not registry.supports(layer):
        return False
    if registry._is_rnn_layer(layer) or registry._is_mha_layer(layer):
        return True
    return bool(registry._weight_names(layer))
