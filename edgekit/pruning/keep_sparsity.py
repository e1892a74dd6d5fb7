"""Holding the zeros of a sparse model through more training."""

from edgekit.core.holding_callback import HoldingCallback
from edgekit.core.kept_zeros import KeptZeros, kernels_with_zeros
from edgekit.core.kernel_axes import LayerKernel, kernel_axes
from edgekit.core.kernels import select_kernels
from edgekit.core.low_rank import refuse_adapted
from edgekit.core.selection import LayerFilter


class KeepSparsity(HoldingCallback):
    """Keeps the weights that are zero today zero through the fit.

    For fine-tuning, quantization-aware training or distillation after pruning. A kernel
    without zeros trains freely, and so does one that is wholly zero, as that of a new layer is.
    A filter that is wholly zero keeps its zero bias too, and the zero gamma and beta of the
    BatchNormalization after it.

    Example:
        >>> qat = ek.quantize_aware(pruned)
        >>> qat.compile(...)
        >>> qat.fit(x, y, callbacks=[ek.KeepSparsity()])

    Args:
        layers: Which layers: a regular expression on the path, a list of them, or a callable.
            Defaults to `None`: all.

    Raises:
        ValueError: Before the first step, when no selected kernel holds a zero, or one with zeros
            is adapted by LoRA.
    """

    def __init__(self, layers: LayerFilter = None):
        super().__init__()
        self.layers = layers
        self._kept: KeptZeros | None = None

    def on_train_begin(self, logs=None):
        self._kept, self._verified = None, False
        self._fit_begins()

    def on_train_batch_begin(self, batch, logs=None):
        if self._is_to_take_hold(batch):
            self._hold_todays()

    def on_train_batch_end(self, batch, logs=None):
        if not self._verified:
            self._verified = True
            self._kept.verify()

    def _holdings(self) -> list[KeptZeros]:
        return [] if self._kept is None else [self._kept]

    def _hold_todays(self) -> None:
        for holding in self._holdings():
            holding.release()
        refuse_adapted(
            "KeepSparsity", self.model, self.layers, lambda kernel: (kernel == 0).any(), "zeros"
        )
        selected = select_kernels(self.model, self.layers)
        kernels = [
            LayerKernel(layer, kernel, kernel_axes(layer, kernel))
            for layer, kernels in selected.items()
            for kernel in kernels
        ]
        sparse = kernels_with_zeros("KeepSparsity", kernels, named=self.layers is not None)
        if not sparse:
            raise ValueError(
                f"KeepSparsity: none of the {len(kernels)} selected kernels holds a zero; prune "
                "the model first (ek.GradualPruning)"
            )
        self._kept = KeptZeros(self.model, sparse)
        self._has_taken_hold()
