"""Keeping what was rounded away from where an operation, or its slope, is infinite.

Rounding brings small numbers to zero, where plain training never comes: there a square root has an
infinite slope and a logarithm an infinite value, and all weights before it become NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from edgekit.quantization.input_grids import Rounding, rounding_before

# Grid points differ from the pole by less than that share of a step, if they are on it.
_ON_IT = 1e-3
# So near a pole with a finite value the value is that of the pole, in float32.
_NEAR = 2.0**-20


@dataclass(frozen=True)
class Pole:
    """Where an operation is infinite, or as steep.

    Args:
        argument: Which of the operation's arguments must not come to it. Defaults to `0`.
        places: Where it is, and to which side of it values lie. Defaults to zero, and above.
        power: What the operation does near it, if it is finite there: `distance ** power`.
            Defaults to `None`: it is infinite.
    """

    argument: int = 0
    places: tuple[tuple[float, int], ...] = ((0.0, 1),)
    power: float | None = None


_ENDS = ((1.0, -1), (-1.0, 1))
_POLES = {
    "Arccos": Pole(places=_ENDS, power=0.5),
    "Arccosh": Pole(places=((1.0, 1),), power=0.5),
    "Arcsin": Pole(places=_ENDS, power=0.5),
    "Arctanh": Pole(places=_ENDS),
    "Divide": Pole(1),
    "Log": Pole(),
    "Log10": Pole(),
    "Log1p": Pole(places=((-1.0, 1),)),
    "Log2": Pole(),
    "Reciprocal": Pole(),
    "Rsqrt": Pole(),
    "Sqrt": Pole(power=0.5),
    "TrueDivide": Pole(1),
}


@keras.saving.register_keras_serializable(package="edgekit")
class OffPole(keras.layers.Layer):
    """Moves what is rounded to a pole by a part of a step in training; else it does nothing.

    Where the operation is infinite it is half a step, the middle of what is rounded there. Where
    it is only steep, it is so little that the value is that of the pole, and gradients are those
    of half a step.

    Args:
        places: See `Pole`.
        power: See `Pole`.
    """

    keeps_grid = True

    def __init__(self, places=((0.0, 1),), power: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.places = tuple((float(at), int(side)) for at, side in places)
        self.power = power
        self.supports_masking = True

    def call(self, inputs, training=None):
        rounding = self._rounding()
        if not training or rounding is None:
            return inputs
        step = ops.cast(rounding.step(), inputs.dtype)
        for at, side in self.places:
            on_it = ops.abs(inputs - at) < _ON_IT * step
            if self.power is None:
                inputs = inputs + ops.where(on_it, side * step / 2, 0.0)
                continue
            distance = ops.maximum(step, abs(at)) * _NEAR
            # The slope there is so many times that at half a step.
            share = (2 * distance / ops.maximum(step, 1e-30)) ** (1 - self.power)
            near = ops.where(on_it, at + side * distance, inputs)
            passing = ops.where(on_it, share * inputs, inputs)
            inputs = passing + ops.stop_gradient(near - passing)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "places": self.places, "power": self.power}

    def _rounding(self) -> Rounding | None:
        nodes = self._inbound_nodes
        return rounding_before(nodes[-1].input_tensors[0]) if nodes else None


def pole_of(operation: keras.Operation, args: tuple) -> Pole | None:
    """Where an operation is infinite or steep; None where it is nowhere.

    Args:
        operation: The operation.
        args: What it is called with.
    """
    name = type(operation).__name__
    if name != "Power":
        return _POLES.get(name)
    exponent = args[1] if len(args) > 1 else None
    if not isinstance(exponent, (int, float)) or exponent >= 1 or exponent == 0:
        return None
    return Pole(power=exponent if exponent > 0 else None)


def off_poles(
    operation: keras.Operation, args: tuple, free_name: Callable[[str], str]
) -> tuple[tuple[Any, ...], OffPole | None]:
    """The arguments of an operation, off its pole where they are rounded, and what moves them.

    Args:
        operation: The operation.
        args: What it is called with.
        free_name: Gives the layer that moves them a name like the one it is told.
    """
    pole = pole_of(operation, args)
    if pole is None or len(args) <= pole.argument:
        return args, None
    operand = args[pole.argument]
    if not isinstance(operand, keras.KerasTensor) or rounding_before(operand) is None:
        return args, None
    layer = OffPole(pole.places, pole.power, name=free_name(f"{operation.name}_off_pole"))
    moved = layer(operand)
    return (*args[: pole.argument], moved, *args[pole.argument + 1 :]), layer
