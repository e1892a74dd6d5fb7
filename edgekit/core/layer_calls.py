"""Which layers a model calls, and with which shapes, from one run on symbolic tensors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature

import keras
from keras import tree

from edgekit.core.call_hooks import hooked
from edgekit.core.graph_macs import Counted, operations_counted
from edgekit.core.selection import all_layers

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Args:
        layer: The layer.
        inputs: Shapes of the tensors it is given, in the order of its signature.
        output: Shape of its first output.
        inside: The calls made while it ran, in the order in which they ended.
    """

    layer: keras.layers.Layer
    inputs: tuple[Shape, ...]
    output: Shape
    inside: tuple["LayerCall", ...] = ()


@dataclass(frozen=True)
class Run:
    """One run of a model on symbolic tensors.

    Args:
        calls: Every call of a layer, in the order in which they end.
        batch: How many samples they are for.
        counted: What the operations multiply that layers add on their own.
    """

    calls: list[LayerCall]
    batch: int
    counted: Counted


def calls_of(model: keras.Model) -> tuple[list[LayerCall], int]:
    """`(calls, batch)`: every call of a layer in one run of the model, in the order they end.

    See `symbolic_run`.
    """
    run = symbolic_run(model)
    return run.calls, run.batch


def symbolic_run(model: keras.Model) -> Run:
    """One run of the model: the calls of its layers, and what their operations multiply.

    The run is symbolic, at the shapes the model is built for: it computes nothing and leaves
    the weights alone. Subclassed models and layers run as all others do.

    Args:
        model: A built model, of any kind.

    Returns:
        The run, for as many samples as the model takes: 1 where it leaves that open.

    Raises:
        Exception: Whatever the model's own code raises.
    """
    error: Exception | None = None
    for inputs in possible_inputs(model):
        shapes = [tuple(t.shape) for t in tree.flatten(inputs)]
        if keras.backend.backend() != "tensorflow" and any(None in shape for shape in shapes):
            break  # other backends run with made-up numbers in place of an open dimension
        try:
            with operations_counted() as counted, _recording(model, counted) as calls:
                _Call(model).compute_output_spec(inputs)
            return Run(calls, shapes[0][0] if shapes[0] else 1, counted)
        except Exception as raised:  # the model's code may raise anything
            error = raised
    raise error or ValueError(f"model {model.name!r} has no input shape")


def built_shapes(layer: keras.layers.Layer) -> tuple[Shape, ...]:
    """The shapes a layer was built for, one sample each; empty where it keeps none."""
    # Keras stores them for saving; there is no public way to them but through a file.
    shapes = layer._build_shapes_dict or {}
    return tuple((1, *shape[1:]) for value in shapes.values() for shape in _flat(value))


class _Call(keras.Operation):
    """Calls the model, also where it could say its output's shape without."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, inputs):
        return self.model(inputs)


def possible_inputs(model: keras.Model) -> list:
    """Symbolic tensors to call a model with, as one argument; the likelier dtype first.

    Empty where the model does not say which shapes it takes.
    """
    if hasattr(model, "_inputs_struct") or isinstance(model, keras.Sequential) and model.inputs:
        struct = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        return [tree.map_structure(lambda t: _tensor(t.shape, t.dtype, t.sparse), struct)]
    shapes = list((model._build_shapes_dict or {}).values())
    if len(shapes) != 1:
        return []
    # A subclassed model does not say which dtype it takes.
    return [
        tree.map_shape_structure(lambda s, d=dtype: _tensor(s, d), shapes[0])
        for dtype in ("float32", "int32")
    ]


def _tensor(shape: Shape, dtype: str, sparse: bool = False) -> keras.KerasTensor:
    shape = tuple(shape)
    if shape and shape[0] is None:
        shape = (1, *shape[1:])
    return keras.KerasTensor(shape, dtype, sparse=sparse)


def _flat(value) -> list[Shape]:
    """The shapes in a structure of shapes."""
    found: list[Shape] = []
    tree.map_shape_structure(lambda shape: found.append(tuple(shape or ())), value)
    return [shape for shape in found if shape]


@contextmanager
def _recording(model: keras.Model, counted: Counted) -> Iterator[list[LayerCall]]:
    """Within it each call of the model's layers is added to the list."""
    calls: list[LayerCall] = []

    def recorded(layer, call):
        parameters = signature(call)

        def record(*args, **kwargs):
            start = len(calls)
            with _rolled(layer), counted.inside(layer, _steps(layer, args, kwargs)):
                outputs = call(*args, **kwargs)
            if layer is model:
                return outputs
            given = parameters.bind(*args, **kwargs).arguments.values()
            inputs = tuple(shape for value in given for shape in _tensor_shapes(value))
            output = next(iter(_tensor_shapes(outputs)), ())
            calls.append(LayerCall(layer, inputs, output, tuple(calls[start:])))
            return outputs

        return record

    with hooked([*all_layers(model), model], recorded):
        yield calls


def _steps(layer: keras.layers.Layer, args: tuple, kwargs: dict) -> int | None:
    """The steps of a recurrent layer's loop; None of others."""
    shapes = _tensor_shapes((args, kwargs))
    recurrent = isinstance(layer, keras.layers.RNN) and shapes and len(shapes[0]) > 1
    return shapes[0][1] if recurrent else None


@contextmanager
def _rolled(layer: keras.layers.Layer) -> Iterator[None]:
    """Within it a recurrent layer stays a loop: unrolled, each step would take its time."""
    if not isinstance(layer, keras.layers.RNN):
        yield
        return
    unroll, layer.unroll = layer.unroll, False
    try:
        yield
    finally:
        layer.unroll = unroll


def _tensor_shapes(value) -> list[Shape]:
    return [tuple(t.shape) for t in tree.flatten(value) if hasattr(t, "shape")]
