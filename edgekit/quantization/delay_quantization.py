"""`DelayQuantization`: rounding sets in once the net has settled."""

from edgekit.quantization.epoch_switch import EpochSwitch


class DelayQuantization(EpochSwitch):
    """Until an epoch, training steps round nothing; ranges are followed all the same.

    For nets that are trained from scratch: rounding disturbs the first epochs more than it
    helps. Validation and prediction round throughout.

    Example:
        >>> qat.fit(x, y, epochs=10, callbacks=[ek.DelayQuantization(2)])

    Args:
        until: The epoch: an int counts epochs, a float of 0 to 1 is a share of the fit's.
            Defaults to `0.2`.

    Raises:
        ValueError: `until` is neither, or the model is not quantisation-aware.

    Source: Jacob et al. 2018, arXiv 1712.05877, section 3.1.
    """

    def __init__(self, until: int | float = 0.2):
        super().__init__(until, "delayed", before=True)
