"""`FreezeRanges`: the last epochs train with the ranges inference will use."""

from edgekit.quantization.epoch_switch import EpochSwitch


class FreezeRanges(EpochSwitch):
    """From an epoch on, the ranges of activations stay as they are.

    Example:
        >>> qat.fit(x, y, epochs=10, callbacks=[ek.FreezeRanges(0.5)])

    Args:
        after: The epoch: an int counts epochs, a float of 0 to 1 is a share of the fit's.
            Not 0 for a model whose ranges have seen no data. Defaults to `0.5`.

    Raises:
        ValueError: `after` is neither, or the model is not quantisation-aware.

    Source: Krishnamoorthi 2018, arXiv 1806.08342, section 3.2.
    """

    def __init__(self, after: int | float = 0.5):
        super().__init__(after, "frozen")
