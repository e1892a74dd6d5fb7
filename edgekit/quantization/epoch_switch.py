"""What callbacks that switch something at an epoch have in common."""

import keras

from edgekit.core.constraints import retrace_training
from edgekit.core.selection import all_layers


class EpochSwitch(keras.callbacks.Callback):
    """Sets an attribute of layers while epochs before, or from, a certain one run.

    Each fit starts and ends with the attribute off, so what a fit did can be read from its
    callbacks.

    Args:
        after: The epoch: an int counts epochs, a float is a share of the fit's.
        attribute: Name of the attribute, a bool.
        before: Whether it is on before the epoch, rather than from it on.
    """

    def __init__(self, after: int | float, attribute: str, before: bool = False):
        super().__init__()
        number = isinstance(after, (int, float)) and not isinstance(after, bool)
        if not number or after < 0 or (isinstance(after, float) and after > 1):
            raise ValueError(
                "`after` must be a number of epochs (an int) or a share of the fit's epochs (a "
                f"float of 0 to 1). Received: after={after!r}"
            )
        self.after = after
        self._attribute = attribute
        self._before = before

    def on_train_begin(self, logs=None):
        self._layers = [x for x in all_layers(self.model) if hasattr(x, self._attribute)]
        if not self._layers:
            raise ValueError(
                f"{type(self).__name__} finds nothing to act on in model {self.model.name!r}: it "
                "is for models from ek.quantize_aware"
            )
        share = isinstance(self.after, float)
        self._epoch = round(self.after * self.params["epochs"]) if share else self.after
        self._switch(False)

    def on_epoch_begin(self, epoch, logs=None):
        self._switch((epoch < self._epoch) == self._before)

    def on_train_end(self, logs=None):
        self._switch(False)

    def _switch(self, on: bool) -> None:
        changed = [layer for layer in self._layers if getattr(layer, self._attribute) != on]
        for layer in changed:
            setattr(layer, self._attribute, on)
        if changed:
            retrace_training(self.model)
