"""Holding the zeros of a sparse model through more training."""

import keras
from keras import ops

from edgekit.core.kernels import select_kernels
from edgekit.core.selection import LayerFilter
from edgekit.pruning.held_masks import HeldMasks


class KeepSparsity(keras.callbacks.Callback):
    """Keeps the weights that are zero today zero through the fit.

    For fine-tuning, quantisation-aware training or distillation after pruning. A kernel
    without zeros trains freely.

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
        kernels = [k for ks in select_kernels(self.model, self.layers).values() for k in ks]
        masks = [ops.convert_to_numpy(k) != 0 for k in kernels]
        sparse = [i for i, mask in enumerate(masks) if not mask.all()]
        if not sparse:
            raise ValueError(
                f"KeepSparsity: none of the {len(kernels)} selected kernels holds a zero; prune "
                "the model first (ek.GradualPruning)"
            )
        self._masks = HeldMasks(
            self.model, [kernels[i] for i in sparse], [masks[i] for i in sparse], self.params
        )

    def on_train_end(self, logs=None):
        self._masks.release()
