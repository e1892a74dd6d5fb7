"""Float files whose weights are stored in fewer bits, as plain float files."""

import numpy as np

from converters.integer.file import FlatFile
from converters.sparse_tensor import decode

_STORED = {"float32": "<f4", "float16": "<f2", "int8": "i1", "uint8": "u1", "int16": "<i2"}


def with_float_weights(content: bytes) -> bytes:
    """The file with every weight as float32; bytes that have nothing to change stay.

    A file whose weights were quantised keeps their values, so quantising it again finds their
    grid.

    Args:
        content: A `.tflite` that computes in float.
    """
    file = FlatFile(content)
    changed = [_as_float(view) for view in file.of(range(len(file.model.subgraphs)))]
    return file.tobytes() if any(changed) else content


def _as_float(file: FlatFile) -> bool:
    """Store the weights of a subgraph as float32; whether some were not."""
    computed = {int(t) for op in file.graph.operators for t in op.outputs}
    computed |= {int(t) for t in file.graph.inputs}
    kept, changed, same = [], False, {}
    for index in range(len(file.graph.tensors)):
        changed |= index not in computed and _store_as_float(file, index)
    for op in file.graph.operators:
        source = int(op.inputs[0]) if len(op.inputs) else -1
        if file.op_name(op) in ("DEQUANTIZE", "DENSIFY") and file.constant(source) is not None:
            same[int(op.outputs[0])] = source
            changed = True
        else:
            op.inputs = np.array([same.get(int(t), int(t)) for t in op.inputs], "int32")
            kept.append(op)
    file.graph.operators = kept
    return changed


def _grid(file: FlatFile, tensor: int):
    """The tensor's quantisation parameters if it has any."""
    found = file.graph.tensors[tensor].quantization
    has = found is not None and found.scale is not None and len(found.scale)
    return found if has else None


def _store_as_float(file: FlatFile, index: int) -> bool:
    tensor, grid = file.graph.tensors[index], _grid(file, index)
    data = file.model.buffers[tensor.buffer].data
    dtype = file.dtype(index)
    if data is None or len(data) == 0 or dtype not in _STORED:
        return False
    if grid is None and not dtype.startswith("float"):
        return False  # integers that are no weights
    stored = np.asarray(data, "uint8").view(_STORED[dtype])
    if tensor.sparsity is not None:
        stored, tensor.sparsity = _whole(file.schema, tensor, stored), None
    elif dtype == "float32":
        return False
    values = stored.reshape(tensor.shape).astype("float32")
    if grid is not None:
        shape = [1] * values.ndim
        if len(grid.scale) > 1:
            shape[grid.quantizedDimension] = -1
        zero = np.zeros(1) if grid.zeroPoint is None else np.asarray(grid.zeroPoint)
        values = (values - zero.reshape(shape if len(zero) > 1 else -1)) * np.asarray(
            grid.scale, "float32"
        ).reshape(shape if len(grid.scale) > 1 else -1)
    tensor.type, tensor.quantization = file.schema.TensorType.FLOAT32, None
    file.set_values(index, values.astype("float32"))
    return True


def _whole(schema, tensor, stored: np.ndarray) -> np.ndarray:
    """A sparse tensor's values with the zeros between them."""
    parameters = tensor.sparsity
    levels = [
        int(level.denseSize)
        if level.format == schema.DimensionType.DENSE
        else (level.arraySegments.values, level.arrayIndices.values)
        for level in parameters.dimMetadata
    ]
    blocks = [] if parameters.blockMap is None else parameters.blockMap
    return decode(stored, tuple(tensor.shape), list(parameters.traversalOrder), blocks, levels)
