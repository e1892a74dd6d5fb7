"""A LiteRT flatbuffer as plain objects, read without any native code.

Every vector's length is checked against the file's size before it is walked, so a damaged file
is an error and not an endless loop.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from converters.flatbuffer_tables import DAMAGE, CorruptFlatbuffer, Tables
from converters.model_info import ModelInfo, OpInfo, Signature, TensorInfo, unique_names

# What runs where the caller names no signature; the first, where there is none of that name.
DEFAULT_SIGNATURE = "serving_default"
# The settings in which an op names the subgraphs that it runs.
CALLS = {
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "CALL": ("subgraph",),
    "CALL_ONCE": ("init_subgraph_index",),
    "STABLEHLO_WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "STABLEHLO_COMPOSITE": ("decomposition_subgraph_index",),
    "STABLEHLO_REDUCE": ("body_subgraph_index",),
    "STABLEHLO_REDUCE_WINDOW": ("body_subgraph_index",),
    "STABLEHLO_SCATTER": ("update_computation_subgraph_index",),
    "STABLEHLO_SORT": ("comparator_subgraph_index",),
}
_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "BFLOAT16": "bfloat16",
    "FLOAT64": "float64",
    "INT64": "int64",
    "INT32": "int32",
    "INT16": "int16",
    "INT8": "int8",
    "INT4": "int4",
    "INT2": "int2",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
    "STRING": "string",
    "RESOURCE": "resource",
    "VARIANT": "variant",
    "COMPLEX64": "complex64",
    "COMPLEX128": "complex128",
    "UINT4": "uint4",
}


Read = TypeVar("Read")


class UnknownSignature(ValueError):
    """The file has no signature of that name."""


def read_model(content: bytes, signature: str | None = None) -> ModelInfo:
    """Read the bytes of a `.tflite` file: what one of its signatures runs.

    Example:
        >>> read_model(content).inputs["image"].shape
        (1, 28, 28, 1)

    Args:
        content: The bytes of the file.
        signature: Its key. Defaults to `None`: `"serving_default"`, or the first where there is
            none of that name; the first subgraph in a file without signatures.

    Raises:
        CorruptFlatbuffer: They do not form a LiteRT model.
        UnknownSignature: The file has no such signature; the message lists those it has.
    """
    reader = _undamaged(lambda: _Reader(content))
    key = choose_signature(_undamaged(lambda: list(reader.signatures)), signature)
    return _undamaged(lambda: reader.model(key))


def read_models(content: bytes) -> tuple[ModelInfo, ...]:
    """What each signature of a `.tflite` file runs, the default one first.

    Raises:
        CorruptFlatbuffer: They do not form a LiteRT model.
    """
    reader = _undamaged(lambda: _Reader(content))
    keys = _undamaged(lambda: list(reader.signatures))
    first = choose_signature(keys, None)
    others = [key for key in keys if key != first]
    return tuple(_undamaged(lambda key=key: reader.model(key)) for key in (first, *others))


def choose_signature(keys: Sequence[str], signature: str | None) -> str | None:
    """The signature that runs: the one named, `"serving_default"`, or the first.

    Args:
        keys: Those of the file, in its order.
        signature: What the caller asks for; None for the default.

    Returns:
        Its key; None in a file without signatures.

    Raises:
        UnknownSignature: The file has none of that name.
    """
    if signature is None:
        return DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in keys else next(iter(keys), None)
    if signature not in keys:
        known = f"one of {', '.join(map(repr, keys))}" if keys else "left out: the file has none"
        raise UnknownSignature(f"`signature` must be {known}. Received: signature={signature!r}")
    return signature


def _undamaged(read: Callable[[], Read]) -> Read:
    try:
        return read()
    except CorruptFlatbuffer:
        raise
    except DAMAGE as error:
        raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: {error}") from None


class _Reader(Tables):
    def __init__(self, content: bytes):
        super().__init__(content)
        if self.root.SubgraphsLength() < 1:
            raise CorruptFlatbuffer("damaged LiteRT flatbuffer: no subgraph")
        self.codes = [self._op_name(c) for c in self.walk(self.root, "OperatorCodes")]
        self.graphs: dict[int, tuple[list[TensorInfo], list[OpInfo]]] = {}

    @cached_property
    def signatures(self) -> dict[str, Signature]:
        found = {}
        for i, entry in enumerate(self.walk(self.root, "SignatureDefs")):
            number = int(entry.SubgraphIndex())
            tensors, _ = self._subgraph(number)
            key = (entry.SignatureKey() or b"").decode(errors="replace") or f"signature_{i}"
            inputs, outputs = (
                {
                    (e.Name() or b"").decode(errors="replace"): _at(tensors, e.TensorIndex())
                    for e in self.walk(entry, side)
                }
                for side in ("Inputs", "Outputs")
            )
            found[key] = Signature(
                key, number, dict(sorted(inputs.items())), dict(sorted(outputs.items()))
            )
        return found

    def model(self, key: str | None) -> ModelInfo:
        signature = None if key is None else self.signatures[key]
        main = signature.subgraph if signature else 0
        tensors, ops = self._subgraph(main)
        sides = self._sides(main)
        named = (signature.inputs, signature.outputs) if signature else map(_by_name, sides)
        inputs, outputs = named
        all_tensors, all_ops, seen = [*tensors], [*ops], {main}
        for op in all_ops:  # which grows while it is walked
            for number in op.calls:
                if number not in seen:
                    seen.add(number)
                    called_tensors, called = self._subgraph(number)
                    all_tensors += called_tensors
                    all_ops += called
        return ModelInfo(
            ops=tuple(replace(op, index=i) for i, op in enumerate(all_ops)),
            tensors=tuple(all_tensors),
            inputs=inputs,
            outputs=outputs,
            subgraph=main,
            graph_inputs=sides[0],
            graph_outputs=sides[1],
            called={number: self._sides(number) for number in seen - {main}},
            signature=signature,
            signatures=tuple(self.signatures.values()),
            subgraphs=self.root.SubgraphsLength(),
            metadata=self._metadata(),
            description=(self.root.Description() or b"").decode(errors="replace"),
        )

    def _sides(self, number: int) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
        """Inputs and outputs of a subgraph, in its order."""
        tensors, _ = self._subgraph(number)
        graph = self.root.Subgraphs(number)
        inputs, outputs = (
            tuple(_at(tensors, i) for i in self.numbers(graph, side))
            for side in ("Inputs", "Outputs")
        )
        return inputs, outputs

    def _metadata(self) -> dict[str, bytes]:
        entries = self.walk(self.root, "Metadata")
        return {
            (e.Name() or b"").decode(errors="replace"): self.data(e.Buffer()) or b""
            for e in entries
        }

    def _subgraph(self, number: int) -> tuple[list[TensorInfo], list[OpInfo]]:
        if number not in self.graphs:
            self.graphs[number] = self._read_subgraph(number)
        return self.graphs[number]

    def _read_subgraph(self, number: int) -> tuple[list[TensorInfo], list[OpInfo]]:
        if not 0 <= number < self.root.SubgraphsLength():
            raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: no subgraph {number}")
        graph = self.root.Subgraphs(number)
        tensors = [self._tensor(i, t, number) for i, t in enumerate(self.walk(graph, "Tensors"))]
        tensors = [_with_block_scales(tensor, tensors) for tensor in tensors]
        ops = []
        for i, op in enumerate(self.walk(graph, "Operators")):
            ops.append(self._op(i, op, tensors, number))
            if ops[-1].name == "DENSIFY":  # the same constant to whoever reads it
                whole = ops[-1].output_tensors[0].index
                tensors[whole] = replace(ops[-1].input_tensors[0], index=whole)
        return tensors, ops

    def _op_name(self, code) -> tuple[str, int, bool]:
        """Its name, its version and whether it is a custom op."""
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = self.op_names.get(number, f"UNKNOWN_{number}")
        custom = name == "CUSTOM"
        if custom and code.CustomCode():
            name = code.CustomCode().decode(errors="replace")
        return name, int(code.Version()), custom

    def _tensor(self, index: int, tensor, subgraph: int) -> TensorInfo:
        quantization = tensor.Quantization()
        scales, zero_points, blocks = (), (), (0, -1)
        if quantization is not None:
            scales = tuple(self.numbers(quantization, "Scale"))
            zero_points = tuple(self.numbers(quantization, "ZeroPoint"))
            blocks = self._blocks(quantization)
        shape = tuple(self.numbers(tensor, "Shape"))
        open_shape = tuple(self.numbers(tensor, "ShapeSignature"))
        return TensorInfo(
            index=index,
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=shape,
            dtype=_DTYPES.get(self.types[tensor.Type()], self.types[tensor.Type()].lower()),
            scales=scales,
            zero_points=zero_points,
            data=self.data(tensor.Buffer()),
            sparsity=None if tensor.Sparsity() is None else self._sparsity(tensor.Sparsity()),
            open_shape=open_shape if len(open_shape) == len(shape) else shape,
            quantized_dimension=0 if quantization is None else quantization.QuantizedDimension(),
            block_size=blocks[0],
            block_scales=blocks[1],
            variable=bool(tensor.IsVariable()),
            buffer=int(tensor.Buffer()),
            subgraph=subgraph,
        )

    def _blocks(self, quantization) -> tuple[int, int]:
        """Weights that share a scale, and the tensor of the scales; `(0, -1)` without blocks."""
        if quantization.DetailsType() != self.schema.QuantizationDetails.BlockwiseQuantization:
            return 0, -1
        table, details = quantization.Details(), self.schema.BlockwiseQuantization()
        details.Init(table.Bytes, table.Pos)
        return int(details.BlockSize()), int(details.Scales())

    def _sparsity(self, parameters) -> tuple:
        """What `decode` takes: order, block map and levels."""
        levels = []
        for level in self.walk(parameters, "DimMetadata"):
            if level.Format() == self.schema.DimensionType.DENSE:
                levels.append(int(level.DenseSize()))
                continue
            pair = []
            for name in ("ArraySegments", "ArrayIndices"):
                kind = self.vectors[getattr(level, f"{name}Type")()]
                vector, table = getattr(self.schema, kind)(), getattr(level, name)()
                vector.Init(table.Bytes, table.Pos)
                self.length(vector, "Values")
                pair.append(np.atleast_1d(vector.ValuesAsNumpy()))
            levels.append(tuple(pair))
        order = self.numbers(parameters, "TraversalOrder")
        return order, self.numbers(parameters, "BlockMap"), levels

    def _op(self, index: int, op, tensors, subgraph: int) -> OpInfo:
        name, version, custom = self.codes[op.OpcodeIndex()]
        options = {} if custom else self.options(op)
        slots = self.numbers(op, "Inputs")
        return OpInfo(
            index=index,
            name=name,
            slots=tuple(None if i < 0 else _at(tensors, i) for i in slots),
            output_tensors=tuple(_at(tensors, i) for i in self.numbers(op, "Outputs") if i >= 0),
            subgraph=subgraph,
            calls=tuple(int(options[setting]) for setting in CALLS.get(name, ())),
            options=options,
            version=version,
            custom=custom,
        )


def _at(tensors: Sequence[TensorInfo], index: int) -> TensorInfo:
    if index < 0:  # which Python would count from the end
        raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: no tensor {index}")
    return tensors[index]


def _by_name(tensors: Sequence[TensorInfo]) -> dict[str, TensorInfo]:
    names = unique_names([t.name for t in tensors], [t.index for t in tensors])
    return dict(zip(names, tensors, strict=True))


def _with_block_scales(tensor: TensorInfo, tensors: Sequence[TensorInfo]) -> TensorInfo:
    """The tensor with the scales of its blocks, which the file has in a tensor of their own."""
    if not tensor.block_size:
        return tensor
    scales = _at(tensors, tensor.block_scales).values
    return tensor if scales is None else replace(tensor, scales=tuple(np.ravel(scales).tolist()))
