"""Which activation an output has been through, and the logits it comes from."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from edgekit.distillation.class_axes import ClassAxes
from edgekit.distillation.computation import Computation
from edgekit.distillation.endings import LINEAR, LOG_SOFTMAX, SIGMOID, SOFTMAX, ending_of

ACTIVATIONS = (SOFTMAX, LOG_SOFTMAX, SIGMOID, LINEAR)
# The smallest probability of a type that is told from 0, and the smallest distance from 1.
_LIMITS = {"float16": (2.0**-25, 2.0**-12), "bfloat16": (1e-37, 2.0**-9)}
_FLOAT32 = (1e-37, 2.0**-25)


@dataclass(frozen=True)
class Activation:
    """What an output has been through.

    Attributes:
        kind: `"softmax"`, `"log_softmax"`, `"sigmoid"` or `"linear"`.
        classes: Where the classes run; None for the last axis.
        step: Of the grid that probabilities are rounded to, as those of integer files are; 0 of
            floats.
        mixed: Whether parts of it have been through different ones; it is linear then.
    """

    kind: str
    classes: ClassAxes | None = None
    step: float = 0.0
    mixed: bool = False

    @property
    def of_classes(self) -> bool:
        """Whether it is one of classes of which one is right."""
        return self.kind in (SOFTMAX, LOG_SOFTMAX)

    def logits(self, outputs: Any, computation: Computation | None = None):
        """What the activation was applied to, up to a constant per sample; float32.

        Taken from where the model computed them if that is known, so that they are exact, and have
        gradients wherever probabilities are rounded or too small; else from the probabilities.

        Args:
            outputs: `(batch, …)`, as the model gives them.
            computation: In which they were computed. Defaults to `None`: only values are known.

        Returns:
            `(batch, …, classes)`. The logits of a sigmoid come in pairs, `(batch, …, units, 2)`:
            those of yes and of no.
        """
        kept = None
        if self.kind != LINEAR and computation is not None:
            ending = ending_of(outputs, computation, located=False)
            if ending is not None and ending.kind == self.kind:
                kept = ending.logits
        if kept is None:
            kept = self._inverted(outputs)
        kept = ops.cast(kept, "float32")
        if self.kind == SIGMOID:
            return ops.stack([kept, ops.zeros_like(kept)], axis=-1)
        return kept if self.classes is None else self.classes.last(kept)

    def labels_last(self, labels: Any) -> Any:
        """Labels with their classes along the last axis, where they have such."""
        if self.classes is None or len(getattr(labels, "shape", ())) != len(self.classes.factors):
            return labels
        return self.classes.last(labels)

    def _inverted(self, outputs):
        if self.kind in (LINEAR, LOG_SOFTMAX):
            return outputs
        limits = limits_of(keras.backend.standardize_dtype(outputs.dtype))
        # A rounded probability is known to half a step.
        smallest, from_one = (max(limit, self.step / 2) for limit in limits)
        values = ops.cast(outputs, "float32")
        yes = ops.log(ops.maximum(values, smallest))
        if self.kind == SOFTMAX:
            return yes
        # float32 has no number between 1 and 2⁻²⁴ below it: the distance from 1 has all its bits.
        near_one = ops.log(ops.maximum(1 - values, from_one))
        return yes - ops.where(values > 0.5, near_one, ops.log1p(-ops.minimum(values, 0.5)))


def limits_of(dtype: str) -> tuple[float, float]:
    """The smallest probability that a type tells from 0, and the smallest distance from 1."""
    return _LIMITS.get(dtype, _FLOAT32)


def check_activation(name: str, value: str) -> None:
    """Refuse what is no activation of outputs.

    Raises:
        ValueError: It is not.
    """
    if value not in ACTIVATIONS:
        raise ValueError(
            f"`{name}` must be one of {', '.join(ACTIVATIONS)}. Received: {name}={value!r}"
        )
