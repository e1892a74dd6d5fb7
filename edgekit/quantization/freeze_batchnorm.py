"""`FreezeBatchNorm`: the last epochs train with the statistics inference will use."""

from edgekit.quantization.epoch_switch import EpochSwitch


class FreezeBatchNorm(EpochSwitch):
    """From an epoch on, BatchNorm computes with its moving statistics and leaves them.

    The net then trains with exactly the kernels that are deployed; the batch's own statistics,
    which jitter, would move them. Scale and offset go on training.

    Example:
        >>> qat.fit(x, y, epochs=10, callbacks=[ek.FreezeBatchNorm(0.7)])

    Args:
        after: The epoch: an int counts epochs, a float of 0 to 1 is a share of the fit's.
            Defaults to `0.7`.

    Raises:
        ValueError: `after` is neither, or the model has no BatchNorm that
            `ek.quantize_aware` put into a wrapper.

    Source: Krishnamoorthi 2018, arXiv 1806.08342, section 3.3.
    """

    def __init__(self, after: int | float = 0.7):
        super().__init__(after, "freeze_statistics")

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._layers = [x for x in self._layers if getattr(x, "batchnorm", x) is not None]
