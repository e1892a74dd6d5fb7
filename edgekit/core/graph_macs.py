"""Multiply-accumulates of the TensorFlow operations that layers add to a graph on their own."""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras

Macs = int | None


@dataclass
class Counted:
    """What the operations of one run multiply, by the layer whose call added them.

    Attributes:
        own: `{layer: multiply-accumulates}`, those of the layers inside it left out; None where
            they are unknown. Layers that multiply nothing are not in it.
        running: The layers whose calls run, outermost first, each with the number of steps if it
            runs a loop over time: None where that is open.
    """

    own: dict[keras.layers.Layer, Macs] = field(default_factory=dict)
    running: list[tuple[keras.layers.Layer, int | None]] = field(default_factory=list)

    def add(self, macs: Macs) -> None:
        """Count for the innermost layer that runs."""
        if not self.running or macs == 0:
            return
        layer = self.running[-1][0]
        before = self.own.get(layer, 0)
        self.own[layer] = None if None in (before, macs) else before + macs

    @contextmanager
    def inside(self, layer: keras.layers.Layer, steps: int | None) -> Iterator[None]:
        """Within it the layer's call runs."""
        self.running.append((layer, steps))
        try:
            yield
        finally:
            self.running.pop()


@contextmanager
def operations_counted() -> Iterator[Counted]:
    """Within it every operation that is added to a graph is counted; on TensorFlow only."""
    counted = Counted()
    if keras.backend.backend() != "tensorflow":
        yield counted
        return
    import tensorflow as tf

    # There is no public hook; all ways to add an operation from Python lead through this one.
    create, traced = tf.Graph._create_op_internal, set()

    def noticed(graph, *args, **kwargs):
        operation = create(graph, *args, **kwargs)
        traced.add(getattr(graph, "name", ""))
        counted.add(_in_all(operation, counted, traced))
        return operation

    tf.Graph._create_op_internal = noticed
    try:
        yield counted
    finally:
        tf.Graph._create_op_internal = create


def _in_all(operation: Any, counted: Counted, traced: set[str]) -> Macs:
    """An operation's multiply-accumulates, over all steps of the loop it is in."""
    name = operation.type
    if name in _CALLS:
        return _of_untraced(operation, traced)
    if name in _UNKNOWN or _LINEAR_ALGEBRA.match(name):
        return None
    if name not in _COUNTS:
        return 0
    times = _times_run(operation, counted)
    if times == 0:
        return 0
    macs = _COUNTS[name](operation)
    return None if None in (macs, times) else macs * times


def _times_run(operation: Any, counted: Counted) -> int | None:
    """How often one run of the model runs it; None where that is unknown."""
    kinds, graph = [], operation.graph
    while graph is not None:
        kinds.append(type(graph).__name__)
        graph = getattr(graph, "outer_graph", None)
    loops = kinds.count("WhileBodyFuncGraph")
    recurrent = [
        place
        for place, (layer, _) in enumerate(counted.running)
        if isinstance(layer, keras.layers.RNN)
    ]
    # Keras calls a cell once more before the loop, to see what it gives.
    if len(recurrent) > loops and counted.running[recurrent[-1] + 1 :]:
        return 0
    if "CondBranchFuncGraph" in kinds or _VECTORIZED.search(operation.name):
        return None
    if loops != len(recurrent):
        return 1 if not loops else None
    steps = [counted.running[place][1] for place in recurrent]
    return None if None in steps else math.prod(steps)


def _of_untraced(operation: Any, traced: set[str]) -> Macs:
    """0 for a function whose operations were seen, or multiply nothing; otherwise unknown."""
    name = operation.get_attr("f").name
    if any(name.startswith(f"__inference_{graph}_") for graph in traced if graph):
        return 0
    definition = operation.graph._get_function(name)
    if definition is None:
        return None
    names = {node.op for node in definition.cached_definition.node_def}
    multiplies = names & {*_COUNTS, *_UNKNOWN, *_CALLS, "While", "StatelessWhile"}
    return None if multiplies or any(map(_LINEAR_ALGEBRA.match, names)) else 0


def _shape(tensor: Any) -> tuple[int | None, ...]:
    return (None,) if tensor.shape.rank is None else tuple(tensor.shape)


def _times(*sizes: int | None) -> Macs:
    return None if None in sizes else math.prod(sizes)


def _matmul(operation: Any) -> Macs:
    """Rows of the first, which may be transposed, with columns of the second."""
    flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
    shape = _shape(operation.inputs[0])
    if len(shape) < 2:
        return None
    return _times(*_shape(operation.outputs[0]), shape[-2 if operation.get_attr(flag) else -1])


def _einsum(operation: Any) -> Macs:
    """Each element of the output takes a product for every place of what is summed over.

    What one operand alone is summed over is summed before it is multiplied.
    """
    terms, result = operation.get_attr("equation").decode().replace(" ", "").split("->")
    labels = terms.split(",")
    if len(labels) < 2:
        return 0
    sizes = {}
    for term, tensor in zip(labels, operation.inputs, strict=True):
        shape = _shape(tensor)
        before, dots, after = term.partition("...")
        if dots:
            sizes.update(zip(before, shape, strict=False))
            sizes.update(zip(reversed(after), reversed(shape), strict=False))
        else:
            sizes.update(zip(before, shape, strict=True))
    summed = (set(labels[0]) & set(labels[1])) - set(result) - {"."}
    return _times(*_shape(operation.outputs[0]), *(sizes[label] for label in summed))


def _convolution(operation: Any) -> Macs:
    return _times(*_shape(operation.outputs[0]), *_shape(operation.inputs[1])[:-1])


def _depthwise(operation: Any) -> Macs:
    return _times(*_shape(operation.outputs[0]), *_shape(operation.inputs[1])[:-2])


def _transposed(operation: Any) -> Macs:
    """Inputs are the output's shape, the kernel (…, out, in), data."""
    return _times(*_shape(operation.inputs[2]), *_shape(operation.inputs[1])[:-1])


_COUNTS: dict[str, Callable[[Any], Macs]] = {
    "MatMul": _matmul,
    "BatchMatMul": _matmul,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Einsum": _einsum,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "Conv2DBackpropInputV2": _transposed,
    "Conv3DBackpropInputV2": _transposed,
}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
# What multiplies in a way that is not known here, or does whatever Python does.
_UNKNOWN = (
    *("PyFunc", "PyFuncStateless", "EagerPyFunc"),
    *("XlaConv", "XlaConvV2", "XlaDot", "XlaDotV2", "SparseMatMul", "SparseTensorDenseMatMul"),
    *("Conv2DBackpropFilter", "Conv3DBackpropFilterV2", "DepthwiseConv2dNativeBackpropInput"),
)
_LINEAR_ALGEBRA = re.compile(
    r"(Batch)?(Cholesky|Matrix(Inverse|Solve|Determinant|Triangular|Square|Exp|Log)|Svd|Qr|Lu$|"
    r"Eig|SelfAdjointEig|LogMatrix|CudnnRNN|I?R?FFT)"
)
# Of a vectorized map it is not known which operations are run for each element.
_VECTORIZED = re.compile(r"(^|/)(loop_body|pfor)(_\d+)?/")
