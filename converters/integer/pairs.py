"""Where a float flatbuffer rounds: its QUANTIZE → DEQUANTIZE pairs."""

from converters.integer.file import FlatFile
from converters.integer.grids import Grid
from converters.integer.rounding import Rounding

_SIGNED = {
    "uint8": ("int8", 128),
    "int8": ("int8", 0),
    "uint16": ("int16", 32768),
    "int16": ("int16", 0),
}


def rounding_of_pairs(file: FlatFile) -> Rounding:
    """The rounding that the file does itself; its pairs are taken out."""
    stored = _take_out_grids(file)
    grid, source, names, kept = {}, {}, {}, []
    for op in file.graph.operators:
        name = file.op_name(op)
        first = int(op.inputs[0]) if len(op.inputs) else -1
        target = int(op.outputs[0]) if len(op.outputs) else -1
        if name == "QUANTIZE" and target in stored and first not in stored:
            source[target] = first, stored[target]
            names[first, stored[target]] = file.graph.tensors[target].name
            if first not in source:  # else it is rounded a second time
                grid.setdefault(first, stored[target])
        elif name == "DEQUANTIZE" and first in stored:
            source[target] = source.get(first, (first, stored[first]))
        else:
            kept.append(op)
            # The converter moves a RESHAPE between QUANTIZE and DEQUANTIZE now and then.
            grid.update({t: stored[t] for t in map(int, op.outputs) if t in stored})
    return Rounding(file, kept, grid, source, names)


def _take_out_grids(file: FlatFile) -> dict[int, Grid]:
    """The grids of the tensors stored as integers, which become float ones."""
    grids = {}
    for index, tensor in enumerate(file.graph.tensors):
        parameters = tensor.quantization
        if parameters is None or parameters.scale is None or not len(parameters.scale):
            continue
        dtype, offset = _SIGNED[file.dtype(index)]
        zero_point = int(parameters.zeroPoint[0]) - offset
        grids[index] = Grid(dtype, float(parameters.scale[0]), zero_point)
        tensor.type, tensor.quantization = file.schema.TensorType.FLOAT32, None
    return grids
