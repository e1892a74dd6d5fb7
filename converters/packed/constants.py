"""Where in a `.tflite` its constants lie, and what they are."""

import io
import zipfile
from dataclasses import dataclass

import numpy as np

from converters.flatbuffer_tables import DAMAGE, CorruptFlatbuffer
from converters.reader import read_model

_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "BFLOAT16": "uint16",
    "FLOAT64": "float64",
    "INT64": "int64",
    "INT32": "int32",
    "INT16": "int16",
    "INT8": "int8",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "uint8",
    "INT4": "uint8",
    "INT2": "uint8",
}

# Fewer bytes are learned better among others.
_FEWEST_OF_BLOB = 1024


@dataclass(frozen=True)
class Constant:
    """Bytes of a file that are numbers.

    Attributes:
        start: Where they begin.
        size: How many bytes they are.
        name: Of the tensor.
        dtype: NumPy's, in which to look at them.
        shape: Of the tensor.
        scales: Whether these are a tensor's scales, rather than its values.
        blob: Whether these are bytes of no tensor.
    """

    start: int
    size: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: bool = False
    blob: bool = False

    @property
    def row(self) -> int:
        """Numbers of a row: those of an output channel, or of a position where there is one."""
        if len(self.shape) < 2:
            return max(1, self.size // np.dtype(self.dtype).itemsize)
        first = self.shape[1:] if self.shape[0] > 1 else self.shape[-1:]
        return max(1, int(np.prod(first, dtype=np.int64)))

    @property
    def inner(self) -> int:
        """Numbers between two of the same input channel; 0 where a row has only one of each."""
        channels = self.shape[-1] if len(self.shape) > 2 and self.shape[0] > 1 else 0
        return channels if 1 < channels < self.row else 0


def find_constants(content: bytes) -> list[Constant]:
    """The constants of a `.tflite`, in the order in which they lie, none over another.

    Raises:
        CorruptFlatbuffer: The bytes do not form a LiteRT model.
    """
    read_model(content)  # refuses what is damaged
    try:
        found = _found(content)
    except DAMAGE as error:
        raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: {error}") from None
    apart, end = [], 0
    for constant in sorted(found, key=lambda c: (c.start, -c.size)):
        if constant.start >= end and constant.start + constant.size <= len(content):
            apart.append(constant)
            end = constant.start + constant.size
    return apart


def _found(content: bytes) -> list[Constant]:
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(content, 0)
    types = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    tensors, found = {}, []
    for number in range(root.SubgraphsLength()):
        graph = root.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            tensors.setdefault(tensor.Buffer(), tensor)
            found += _scales(tensor)
    found += _blobs(root, content, set(tensors))
    for index in range(1, root.BuffersLength()):
        place = _place(root.Buffers(index))
        tensor = tensors.get(index)
        if place is None or tensor is None:
            continue
        dtype = _DTYPES.get(types.get(tensor.Type(), ""), "uint8")
        if place[1] % np.dtype(dtype).itemsize:
            dtype = "uint8"
        shape = () if tensor.ShapeIsNone() else tuple(map(int, tensor.ShapeAsNumpy()))
        name = (tensor.Name() or b"").decode(errors="replace")
        found.append(Constant(*place, name, dtype, shape))
    return found


def _blobs(root, content: bytes, of_tensors: set[int]) -> list[Constant]:
    """What is of no tensor and large: metadata, programs in the options of custom ops, a zip."""
    found = []
    for index in range(1, root.BuffersLength()):
        place = None if index in of_tensors else _place(root.Buffers(index))
        if place is not None:
            found.append((*place, f"(buffer {index}, of no tensor)"))
    for number in range(root.SubgraphsLength()):
        graph = root.Subgraphs(number)
        for index in range(graph.OperatorsLength()):
            op = graph.Operators(index)
            field = op._tab.Offset(14)  # `custom_options`
            if field and op.CustomOptionsLength():
                place = op._tab.Vector(field), op.CustomOptionsLength()
                found.append((*place, f"(options of op {index})"))
            if op.LargeCustomOptionsOffset() > 1:
                place = op.LargeCustomOptionsOffset(), op.LargeCustomOptionsSize()
                found.append((*place, f"(options of op {index})"))
    zipped = _zip_place(content)
    if zipped is not None:
        found.append((zipped, len(content) - zipped, "(files behind the model)"))
    return [
        Constant(start, size, name, "uint8", (size,), blob=True)
        for start, size, name in found
        if size >= _FEWEST_OF_BLOB
    ]


def _zip_place(content: bytes) -> int | None:
    """Where the zip behind a model begins."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return min((entry.header_offset for entry in archive.infolist()), default=None)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, ValueError):
        return None


def _place(buffer) -> tuple[int, int] | None:
    """Where a buffer's data lie, and how many bytes they are."""
    if buffer.Offset() > 1:  # behind the flatbuffer
        return buffer.Offset(), buffer.Size()
    offset = buffer._tab.Offset(4)  # the field `data`
    size = buffer.DataLength()
    return (buffer._tab.Vector(offset), size) if offset and size else None


def _scales(tensor) -> list[Constant]:
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() < 2:
        return []
    count = quantization.ScaleLength()
    start = quantization._tab.Vector(quantization._tab.Offset(8))  # the field `scale`
    name = (tensor.Name() or b"").decode(errors="replace")
    return [Constant(start, 4 * count, name, "float32", (count,), scales=True)]
