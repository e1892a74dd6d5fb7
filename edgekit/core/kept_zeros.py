"""Holding the zeros of a model's kernels through more training, dead filters with all they add."""

import warnings
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from edgekit.core.companions import Companions, filters_alive
from edgekit.core.held_masks import HeldMasks
from edgekit.core.kernel_axes import LayerKernel


class KeptZeros:
    """What is zero in some kernels stays zero.

    A filter that is wholly zero keeps the zeros in its bias too, and those in the
    BatchNormalization behind it.

    Args:
        model: The model that is about to train.
        kernels: The kernels; each with a zero.
        by_others: Those among them whose zeros something else holds.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[LayerKernel],
        by_others: Sequence[LayerKernel] = (),
    ):
        masks = [zero_mask(kernel) for kernel in kernels]
        pairs = list(zip(kernels, masks, strict=True))
        dead = [(k, mask) for k, mask in pairs if not filters_alive(mask, k).all()]
        vectors = Companions(model, [kernel for kernel, _ in dead])
        alive = [
            mask | (ops.convert_to_numpy(vector) != 0)
            for vector, mask in zip(
                vectors.variables, vectors.masks([mask for _, mask in dead]), strict=True
            )
        ]
        others = {id(kernel) for kernel in by_others}
        own = [(k.variable, mask) for k, mask in pairs if id(k) not in others]
        variables = [variable for variable, _ in own] + vectors.variables
        self._held = None
        if variables:
            self._held = HeldMasks(model, variables, [mask for _, mask in own] + alive)

    @property
    def variables(self) -> list[keras.Variable]:
        """What is held."""
        return self._held.variables if self._held else []

    def apply(self) -> None:
        """Set to zero what has been written past Keras's own variables."""
        if self._held:
            self._held.apply()

    def verify(self) -> None:
        """See `HeldMasks`."""
        if self._held:
            self._held.verify()

    def release(self) -> None:
        """Let the kernels go."""
        if self._held:
            self._held.release()


def zero_mask(kernel: LayerKernel) -> np.ndarray:
    """False where the kernel is zero."""
    return ops.convert_to_numpy(kernel.variable) != 0


def starts_at_zero(kernel: LayerKernel) -> bool | None:
    """Whether the layer's own initializer gives zeros; None where the layer names none.

    A kernel that is wholly zero is that of a new layer, unless it began with other values.
    """
    name = f"{kernel.variable.name}_initializer"
    initializer = getattr(kernel.layer, name, None)
    if initializer is None:
        return None
    try:
        return not np.any(ops.convert_to_numpy(initializer((2,) * len(kernel.variable.shape))))
    except Exception:  # one of the user's own may want another shape
        return None


def kernels_with_zeros(who: str, kernels: Sequence[LayerKernel], named: bool) -> list[LayerKernel]:
    """Those with zeros that pruning has made.

    A kernel that is wholly zero is left out where it began so: it is new, and would never learn.
    One that began with other values was pruned as a whole. Where it is not known how it began, the
    user has to name it.

    Args:
        who: The callback that warns.
        kernels: Which to look at.
        named: Whether the user has named them.
    """
    found, frozen, free = [], [], []
    for kernel in kernels:
        mask = zero_mask(kernel)
        if mask.any():
            found += [] if mask.all() else [kernel]
            continue
        began = starts_at_zero(kernel)
        if began is False or (began is None and named):
            found.append(kernel)
            frozen.append(kernel.variable.path)
        elif began is None:
            free.append(kernel.variable.path)
    if frozen:
        warnings.warn(
            f"{who} holds all of {', '.join(frozen)} at zero, which learn nothing then: name the "
            "other layers in `layers` if they are new",
            stacklevel=2,
        )
    if free:
        warnings.warn(
            f"{who} lets {', '.join(free)} train, although all their weights are zero: name their "
            "layers in `layers` to hold them",
            stacklevel=2,
        )
    return found
