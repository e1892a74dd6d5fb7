"""`narrow`: the same architecture, smaller."""

import warnings
from numbers import Real
from typing import Any

import keras
from keras import layers, tree

from edgekit.core.adapted import copy_adapted
from edgekit.core.arguments import check_whole
from edgekit.core.graph import Graph, copy_layer, fill_in, with_nested
from edgekit.core.selection import LayerFilter, select_layers
from edgekit.core.trainable import trainable
from edgekit.distillation.followed_shape import followed_shape
from edgekit.distillation.repeated_blocks import left_out
from edgekit.distillation.widths import (
    fixed_widths,
    following,
    is_keras,
    width_of,
    with_width,
)


def narrow(
    model: keras.Model,
    width: float = 0.5,
    depth: float = 1.0,
    *,
    keep: LayerFilter = None,
    divisor: int = 1,
) -> keras.Model:
    """A new, untrained model of the same architecture with fewer channels and fewer blocks.

    For a student: layers keep their names, so that features are compared by name. Outputs keep
    their width, and so do what is added to an input, attention heads and the cells of an `RNN`.
    Preprocessing layers keep what they were adapted to.

    Example:
        >>> student = ek.narrow(teacher, width=0.5)
        >>> student = ek.narrow(teacher, width=0.75, depth=0.5, divisor=8)

    Args:
        model: A built Functional or Sequential model; it is not changed. Models inside it become
            part of the new one.
        width: The share of the channels and units of each hidden layer that stays, above 0. More
            than 1 makes a larger model. Defaults to `0.5`.
        depth: The share of the blocks that stays where equal ones stand in a row, above 0 to 1; at
            least one of them does. Defaults to `1.0`.
        keep: Layers that keep their width: a regular expression on the path, a list of them, or a
            callable. Defaults to `None`: those that have to.
        divisor: Widths are rounded to its multiples, for hardware that likes such. Defaults to
            `1`.

    Returns:
        A new, uncompiled Functional model with new weights.

    Raises:
        TypeError: `model` is no Keras model.
        ValueError: A subclassed model, an argument out of range, or a layer that does not fit the
            narrower ones before it; the message names it.

    Source: Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.3, for the width.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras 3 model. Received: {type(model).__name__}")
    _check_share("width", width, most=float("inf"))
    _check_share("depth", depth, most=1)
    check_whole("divisor", divisor)
    graph = Graph(model)
    graphs = list(with_nested(graph))
    wide = {
        id(call.operation): call.operation
        for each in graphs
        for call in each.calls
        if width_of(call.operation) is not None
    }
    kept = fixed_widths(graph)
    if keep is not None:
        kept |= {id(layer) for layer in select_layers(wide.values(), keep, argument="keep")}
    copies = _Copies(
        width, divisor, kept, {id(c): t for g in graphs for c, t in left_out(g, depth)}
    )
    small = graph.rebuild(copies.emit)
    copies.copy_adapted()
    if depth < 1 and not copies.gone:
        warnings.warn(
            f"narrow: depth={depth} has no effect: {model.name!r} has no equal blocks in a row",
            stacklevel=2,
        )
    for old, new in zip(tree.flatten(model.outputs), tree.flatten(small.outputs), strict=True):
        if tuple(old.shape) != tuple(new.shape):
            raise ValueError(
                f"the output would have shape {tuple(new.shape)} in place of {tuple(old.shape)}: "
                "`keep` the layers that it is made of"
            )
    return trainable(small)


class _Copies:
    """Layers of the new model, one for each of the old."""

    def __init__(self, width: float, divisor: int, kept: set[int], gone: dict[int, Any]):
        self._width, self._divisor, self._kept = width, divisor, kept
        self.gone = gone
        self._made: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}

    def emit(self, call: Any, values: dict[int, Any]) -> None:
        """Do in the new model what a call does in the old one, or nothing where it is left out."""
        if id(call) in self.gone:
            for tensor in call.outputs:
                values[id(tensor)] = values[id(self.gone[id(call)])]
            return
        operation = call.operation
        args, kwargs = fill_in(call, values)
        if isinstance(operation, keras.Model):
            outputs = self._inside(operation, args, kwargs)
        else:
            try:
                outputs = self._copy(call, tree.flatten(args))(*args, **kwargs)
            except (ValueError, TypeError) as error:
                name = operation.name
                raise ValueError(
                    f"{name!r} does not take what comes out of the narrower layers before it: "
                    f"`keep` those whose width it needs, or choose a `width` and `divisor` that "
                    f"leave no remainders. {_first_line(error)}"
                ) from error
        for old, new in zip(call.outputs, tree.flatten(outputs), strict=True):
            values[id(old)] = new

    def _inside(self, model: keras.Model, args, kwargs):
        graph = Graph(model)
        given = [v for v in tree.flatten((args, kwargs)) if isinstance(v, keras.KerasTensor)]
        values = dict(zip(map(id, graph.inputs), given, strict=True))
        for call in graph.calls:
            self.emit(call, values)
        return [values[id(tensor)] for tensor in graph.outputs]

    def _copy(self, call, inputs):
        operation = call.operation
        if not isinstance(operation, keras.layers.Layer):
            return _operation(operation, call, inputs)
        if id(operation) not in self._made:
            self._made[id(operation)] = operation, self._narrowed(operation, call, inputs)
        return self._made[id(operation)][1]

    def copy_adapted(self) -> None:
        """Give preprocessing layers what theirs were adapted to."""
        for old, new in self._made.values():
            copy_adapted(old, new)

    def _narrowed(self, layer, call, inputs):
        own = width_of(layer)
        before, now = (tensors[0].shape[-1:] for tensors in (call.input_tensors, inputs))
        sides = (before[0] if before else None, now[0] if now else None)
        if own is not None:
            if id(layer) not in self._kept:
                steps = round(own * self._width / self._divisor)
                own = max(1, steps) * self._divisor
            return with_width(layer, own, *sides)
        if isinstance(layer, layers.Reshape):
            return _reshape_layer(layer, call.input_tensors[0].shape[1:], inputs[0].shape[1:])
        return copy_layer(layer) if is_keras(layer) else following(layer, *sides)


def _reshape_layer(layer: layers.Reshape, before, now) -> layers.Reshape:
    """The same with as many channels as there are now."""
    target = followed_shape(layer.target_shape, before, now)
    return layers.Reshape.from_config(layer.get_config() | {"target_shape": target})


def _operation(operation, call, inputs):
    """The operation; a reshape with as many channels as there are now."""
    target = getattr(operation, "newshape", None)
    if target is None or type(operation).__name__ != "Reshape":
        return operation
    before, now = call.input_tensors[0].shape, inputs[0].shape
    if tuple(before) == tuple(now):
        return operation
    if not isinstance(target, (list, tuple)) or not target or target[0] != -1:
        raise ValueError(f"its shape {target} does not start with -1, the samples")
    inner = followed_shape(target[1:], before[1:], now[1:])
    return type(operation)((-1, *inner))


def _check_share(name: str, value, most: float) -> None:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 < value <= most or value == float("inf"):
        limit = " to 1" if most == 1 else ""
        raise ValueError(f"`{name}` must be above 0{limit}. Received: {name}={value!r}")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
