"""What `inspect` says of the parts of a file: edges, ops, signatures, weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.executions import Work
from converters.kernel_dtypes import kernel_of
from converters.macs import multiply_accumulates
from converters.model_info import ModelInfo, OpInfo, TensorInfo

_WEIGHT_DTYPES = ("float16", "float32", "int8", "int4", "int2", "uint8")


@dataclass(frozen=True)
class Edge:
    """An input or output: what a program must feed or will get.

    A real value is `(stored − zero_point) · scale` where `scale` is not None. `open_shape` has -1
    for sizes that may be any, where `shape` has 1.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    open_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Op:
    """One operator, in order of execution.

    Ops with a `subgraph` that no signature names are called by an op before, as the body of a
    loop is.

    Attributes:
        inputs: Dtypes of its activations.
        weights: Dtypes of its constants.
        outputs: Dtypes of its results.
        macs: Multiply-accumulates each time it runs.
        dtype: The dtype its kernel computes in: `int8`, `float32`, or `float32×int8` where it takes
            float data with integer weights. Shapes and indices do not count.
        quantized: Whether it computes with integers that stand for reals.
        times: How often it runs in one run of the model.
    """

    index: int
    name: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int
    subgraph: int
    dtype: str
    quantized: bool
    times: int


@dataclass(frozen=True)
class SignatureReport:
    """A way to call the model: what it takes, gives and costs.

    `key` is None in a file without signatures.
    """

    key: str | None
    subgraph: int
    inputs: list[Edge]
    outputs: list[Edge]
    macs: int


@dataclass(frozen=True)
class Weight:
    """A constant tensor of rank 2 or more that the model computes with.

    `bytes` is what it takes in the file, `dense_bytes` what it would with its zeros: they differ
    where it is stored sparse.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    dense_bytes: int
    zeros: int
    elements: int
    distinct: int | None

    @property
    def sparsity(self) -> float:
        """Share of zeros, 0 to 1."""
        return self.zeros / self.elements if self.elements else 0.0


def signature_report(model: ModelInfo, found: Work) -> SignatureReport:
    return SignatureReport(
        model.signature.key if model.signature else None,
        model.subgraph,
        [_edge(name, tensor) for name, tensor in model.inputs.items()],
        [_edge(name, tensor) for name, tensor in model.outputs.items()],
        found.macs,
    )


def all_ops(
    models: Sequence[ModelInfo], works: Sequence[Work]
) -> tuple[tuple[OpInfo, ...], list[Op]]:
    """The ops of all signatures, numbered through; a subgraph that several run counts once."""
    infos, ops, seen = [], [], set()
    for model, found in zip(models, works, strict=True):
        new = [op for op in model.ops if op.subgraph not in seen]
        seen |= {op.subgraph for op in new}
        for op in new:
            info = replace(op, index=len(infos))
            infos.append(info)
            ops.append(_op(info, found.times[op.index]))
    return tuple(infos), ops


def _op(op: OpInfo, times: int) -> Op:
    kernel = kernel_of(op)
    return Op(
        index=op.index,
        name=op.name,
        inputs=tuple(t.dtype for t in op.input_tensors if not t.constant),
        weights=tuple(t.dtype for t in op.input_tensors if t.constant),
        outputs=tuple(t.dtype for t in op.output_tensors),
        macs=multiply_accumulates(op),
        subgraph=op.subgraph,
        dtype=kernel.dtype,
        quantized=kernel.quantized,
        times=times,
    )


def is_weight(tensor: TensorInfo) -> bool:
    return tensor.constant and len(tensor.shape) >= 2 and tensor.dtype in _WEIGHT_DTYPES


def weight_report(tensor: TensorInfo) -> Weight:
    values = tensor.values
    whole = values if tensor.sparsity else None
    zero = tensor.zero_points[0] if len(tensor.zero_points) == 1 else 0
    return Weight(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        bytes=tensor.stored_bytes,
        dense_bytes=tensor.stored_bytes if whole is None else whole.nbytes,
        zeros=0 if values is None else int(np.sum(values == zero)),
        elements=tensor.size,
        distinct=None if values is None else len(np.unique(values)),
    )


def _edge(name: str, tensor: TensorInfo) -> Edge:
    quantized = len(tensor.scales) == 1
    return Edge(
        name,
        tensor.shape,
        tensor.dtype,
        tensor.scales[0] if quantized else None,
        tensor.zero_points[0] if quantized and tensor.zero_points else None,
        tensor.open_shape,
    )
