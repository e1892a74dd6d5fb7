"""Holding the zeros of a sparse model through more training."""

import keras
from keras import ops

from edgekit.core.kernel_axes import kernel_axes
from edgekit.core.kernels import select_kernels
from edgekit.core.next_fit import before_next_fit, fit_ended
from edgekit.core.selection import LayerFilter
from edgekit.pruning.companions import Companions, filters_alive
from edgekit.pruning.held_masks import HeldMasks
from edgekit.pruning.pruned_kernel import PrunedKernel


class KeepSparsity(keras.callbacks.Callback):
    """Keeps the weights that are zero today zero through the fit.

    For fine-tuning, quantisation-aware training or distillation after pruning. A kernel
    without zeros trains freely. A filter that is wholly zero keeps its zero bias too, and the
    zero gamma and beta of the BatchNormalization after it.

    Example:
        >>> qat = ek.quantize_aware(pruned)
        >>> qat.compile(...)
        >>> qat.fit(x, y, callbacks=[ek.KeepSparsity()])

    Args:
        layers: Which layers: a regular expression on the path, a list of them, or a callable.
            Defaults to `None`: all.

    Raises:
        ValueError: At the start of the fit, when no selected kernel holds a zero.
    """

    def __init__(self, layers: LayerFilter = None):
        super().__init__()
        self.layers = layers

    def on_train_begin(self, logs=None):
        selected = select_kernels(self.model, self.layers)
        pairs = [(layer, kernel) for layer, kernels in selected.items() for kernel in kernels]
        zeros = [ops.convert_to_numpy(kernel) == 0 for _, kernel in pairs]
        sparse = [number for number, zero in enumerate(zeros) if zero.any()]
        if not sparse:
            raise ValueError(
                f"KeepSparsity: none of the {len(pairs)} selected kernels holds a zero; prune "
                "the model first (ek.GradualPruning)"
            )
        kernels = [
            PrunedKernel(layer, kernel, kernel_axes(layer, kernel), 0.0, number)
            for number, (layer, kernel) in enumerate(pairs[i] for i in sparse)
        ]
        masks = [~zeros[i] for i in sparse]
        # Of a filter that is gone, what else is zero stays zero too.
        dead = [k for k in kernels if not filters_alive(masks[k.number], k).all()]
        vectors = Companions(self.model, dead)
        alive = [
            mask | (ops.convert_to_numpy(vector) != 0)
            for vector, mask in zip(vectors.variables, vectors.masks(masks), strict=True)
        ]
        variables = [kernel.variable for kernel in kernels] + vectors.variables
        self._masks = HeldMasks(self.model, variables, masks + alive)
        before_next_fit(self, self._masks.release)

    def on_train_end(self, logs=None):
        self._masks.apply()
        self._masks.release()
        fit_ended(self)
