"""What goes with a filter: its bias, and gamma and beta of the BatchNormalization after it.

With them at zero a pruned filter's output is zero, not a constant, and the filter can be removed
without any change to what the model computes.
"""

from collections.abc import Sequence

import keras
import numpy as np

from edgekit.core.neighbours import batchnorm_after
from edgekit.pruning.pruned_kernel import PrunedKernel


class Companions:
    """The vectors that go with the filters of some kernels.

    Args:
        model: The model.
        kernels: The kernels, in the order in which masks will come.
    """

    def __init__(self, model: keras.Model, kernels: Sequence[PrunedKernel]):
        # Of a subclassed model this runs the user's code: not where nobody asks.
        batchnorms = batchnorm_after(model) if kernels else {}
        self._found = []
        for kernel in kernels:
            count = int(np.prod([kernel.variable.shape[axis] for axis in kernel.axes.outputs]))
            for vector in _vectors(kernel.layer, batchnorms.get(kernel.layer)):
                if int(np.prod(vector.shape)) == count:
                    self._found.append((vector, kernel))

    @property
    def variables(self) -> list[keras.Variable]:
        """The vectors."""
        return [vector for vector, _ in self._found]

    def masks(self, masks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Their masks: False where the filter is gone.

        Args:
            masks: The kernels' masks.
        """
        alive = []
        for vector, kernel in self._found:
            alive.append(filters_alive(masks[kernel.number], kernel).reshape(vector.shape))
        return alive


def filters_alive(mask: np.ndarray, kernel: PrunedKernel) -> np.ndarray:
    """True for each filter of which anything is left."""
    along = tuple(axis for axis in range(mask.ndim) if axis not in kernel.axes.outputs)
    return mask.any(axis=along)


def _vectors(layer, batchnorm) -> list[keras.Variable]:
    bias = getattr(layer, "bias", None)
    found = [bias] if isinstance(bias, keras.Variable) else []
    if batchnorm is not None:
        found += [v for v in (batchnorm.gamma, batchnorm.beta) if v is not None]
    return [v for v in found if v.trainable]
