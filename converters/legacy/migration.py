"""A model of legacy tf_keras as one of Keras 3 that answers the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras

from converters.errors import MigrationError, cause
from converters.legacy.comparison import (
    Difference,
    answers,
    distance,
    first_to_differ,
    random_inputs,
    says_little,
    states_kept,
)
from converters.legacy.graph import Rebuilding
from converters.legacy.training_only import left_behind
from converters.legacy.weights import give_weights

# Float32 sums in another order differ by less, layer after layer.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 3e-2


@dataclass(frozen=True)
class Migration:
    """A model that was carried over, and what is known about it.

    Attributes:
        model: Of Keras 3, not compiled.
        source: What it was: "Keras 2.4.0, .h5".
        difference: From the old one's outputs; None where that could not run.
        notes: What became different, and what was not checked.
    """

    model: keras.Model
    source: str
    difference: Difference | None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.model.name}: {self.model.count_params():,} parameters, {self.source}"]
        if self.difference is not None:
            lines.append(
                f"outputs differ by at most {self.difference.absolute:.1e} "
                f"({self.difference.relative:.1e} of a sample's largest) on "
                f"{self.difference.samples} random samples"
            )
        return "\n".join([*lines, *self.notes])

    def to_json(self) -> dict:
        """The same in plain values, without the model."""
        distance = self.difference
        return {
            "name": self.model.name,
            "parameters": self.model.count_params(),
            "source": self.source,
            "difference": vars(distance) if distance else None,
            "notes": list(self.notes),
        }


def carry_over(old, source: str, custom_objects: Mapping) -> Migration:
    """A model of tf_keras, built again and compared.

    Args:
        old: The model.
        source: Where it comes from, in words.
        custom_objects: `{name: Keras 3 class or function}`.

    Raises:
        MigrationError: Parts have no counterpart, or the outputs are others.
    """
    rebuilding = Rebuilding(dict(custom_objects))
    new = rebuilding.model(old)
    give_weights(rebuilding.layers)
    notes = [*rebuilding.notes, *left_behind(old, custom_objects)]
    found, why = _compared(old, new, rebuilding.layers)
    if why:
        notes.append(f"outputs were not compared: {why}")
    return Migration(new, source, found, notes)


def _compared(old, new, pairs) -> tuple[Difference | None, str | None]:
    """The difference; or None, and why there is none.

    Raises:
        MigrationError: The outputs are others.
    """
    half = any("16" in str(getattr(weight, "dtype", "")) for weight in old.weights)
    half |= any("16" in layer.compute_dtype for layer in new._flatten_layers())
    tolerance = _HALF_TOLERANCE if half else _TOLERANCE
    with states_kept(old, new) as clear:
        try:
            inputs = random_inputs(old)
            clear()
            theirs = answers(old, inputs)
            clear()
            again = answers(old, inputs)
        except Exception as error:  # of every kind, as layers please
            return None, cause(error)
        if reason := says_little(theirs):
            return None, reason
        if distance(theirs, again, len(inputs[0])).relative > tolerance:
            return None, "the model draws random numbers"
        clear()
        try:
            ours = answers(new, inputs)
        except Exception as error:  # of every kind, as layers please
            raise MigrationError(
                f"model {old.name!r} does not run in Keras 3: {cause(error)}"
            ) from None
        shapes = [[output.shape for output in side] for side in (theirs, ours)]
        if shapes[0] != shapes[1]:
            raise MigrationError(
                f"model {old.name!r} gives outputs of shape {shapes[1]} in Keras 3, of "
                f"{shapes[0]} in tf_keras"
            )
        found = distance(theirs, ours, len(inputs[0]))
        if found.relative <= tolerance:
            return found, None
        where = first_to_differ(pairs, old, new, inputs, tolerance)
    raise MigrationError(
        f"model {old.name!r} answers otherwise in Keras 3, by {found.absolute:.2g} at most"
        + (f"; the first layer to differ is {where}" if where else "")
    )
