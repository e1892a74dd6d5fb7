"""Where a float flatbuffer is to round: on the grids of measured ranges."""

from collections.abc import Mapping

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.grids import Grid, range_grid
from converters.integer.kernels import KERNELS, Rule
from converters.integer.masks import with_masks_in_reach
from converters.integer.rounding import Rounding

# An op that picks computed values or a constant stays float where the constant would take so
# much of the grid that they have fewer than four bits.
_COARSER = 16.0
# Ops through which a whole number goes on its way to be an index.
_KEEPS_COUNTS = {
    "ADD",
    "CONCATENATION",
    "DIV",
    "EXPAND_DIMS",
    "FLOOR",
    "GATHER",
    "MAXIMUM",
    "MINIMUM",
    "MUL",
    "PACK",
    "PAD",
    "RELU",
    "RESHAPE",
    "ROUND",
    "SELECT_V2",
    "SLICE",
    "SPLIT",
    "SQUEEZE",
    "STRIDED_SLICE",
    "SUB",
    "TILE",
    "TRANSPOSE",
    "UNPACK",
}


def rounding_of_ranges(
    file: FlatFile, ranges: Mapping[int, tuple[float, float]], dtype: str, symmetric: bool = False
) -> Rounding:
    """The rounding of each tensor that has a range, on as few different grids as kernels need.

    Args:
        file: A float flatbuffer.
        ranges: `{tensor: (smallest, largest)}`.
        dtype: `"int8"` or `"int16"`.
        symmetric: Whether zero is the middle of the integers. Defaults to `False`.
    """
    ranges = with_masks_in_reach(file, ranges, dtype)
    ranged = {t: range_grid(low, high, dtype, symmetric) for t, (low, high) in ranges.items()}
    grid = {t: ranged[t] for t in map(int, file.graph.inputs) if t in ranged}
    for op in file.graph.operators:
        kernel = KERNELS.get(file.op_name(op))
        for tensor in map(int, op.outputs):
            if tensor in ranged:
                grid[tensor] = ranged[tensor]
        if kernel is None or dtype not in kernel.versions:
            continue
        outputs = [t for t in map(int, op.outputs) if t in grid]
        sources = [t for t in map(int, op.inputs) if t in ranged]
        if kernel.rule == Rule.FIXED:
            grid.update(dict.fromkeys(outputs, kernel.fixed[dtype]))
        elif kernel.rule == Rule.AVERAGES and sources and sources[0] in grid:
            grid.update(dict.fromkeys(outputs, grid[sources[0]]))
        elif kernel.rule == Rule.PICKS and not (
            _picks_from_several(file, op) and _comparable(ranged, sources, outputs)
        ):
            for tensor in outputs:  # it moves values, on the grid they have
                del grid[tensor]
    _join(file, grid)
    for tensor in _counted(file):
        grid.pop(tensor, None)
    return Rounding(file, list(file.graph.operators), grid)


def _comparable(ranged: dict[int, Grid], sources: list[int], outputs: list[int]) -> bool:
    """Whether the values that are picked keep some steps on the grid of the output."""
    finest = max((ranged[t].scale for t in sources), default=0.0)
    return not sources or all(ranged[t].scale < _COARSER * finest for t in outputs)


def _readers(file: FlatFile) -> dict[int, list]:
    readers: dict[int, list] = {}
    for op in file.graph.operators:
        for tensor in map(int, op.inputs):
            readers.setdefault(tensor, []).append(op)
    return readers


def _join(file: FlatFile, grid: dict[int, Grid]) -> None:
    """Leave what only one op reads, that picks from several or clips, to the grid of that op.

    Its values are rounded once then, to the grid where they are needed, and not twice.
    """
    readers = _readers(file)
    outputs = set(map(int, file.graph.outputs))
    for op in file.graph.operators:
        kernel = KERNELS.get(file.op_name(op))
        for tensor in map(int, op.outputs):
            found = readers.get(tensor, [])
            if len(found) != 1 or tensor in outputs or kernel is None:
                continue
            if kernel.rule == Rule.OWN and _rounds_for(file, found[0], grid):
                grid.pop(tensor, None)


def _counted(file: FlatFile) -> set[int]:
    """Float tensors that serve as whole numbers alone, as indices that were given as floats.

    A CAST cuts off what is behind the point: rounded, 2 may be 1.999 and becomes 1, and of a
    thousand rows of a table 256 could be told apart. They stay float, from where they come.
    """
    readers, outputs, found = _readers(file), set(map(int, file.graph.outputs)), set()

    def counts(op) -> bool:
        name, made = file.op_name(op), [int(t) for t in op.outputs]
        if name in ("EQUAL", "NOT_EQUAL"):  # as zero is padding
            return True
        if name == "CAST":
            return file.dtype(made[0]).startswith(("int", "uint"))
        return name in _KEEPS_COUNTS and found.issuperset(made)

    for op in filter(counts, reversed(file.graph.operators)):
        for tensor in map(int, op.inputs):
            is_float = tensor >= 0 and file.dtype(tensor) == "float32"
            if is_float and tensor not in outputs and all(map(counts, readers[tensor])):
                found.add(tensor)
    return found


def _rounds_for(file: FlatFile, reader, grid: dict[int, Grid]) -> bool:
    name = file.op_name(reader)
    kernel = KERNELS.get(name)
    if kernel is None or kernel.rule != Rule.PICKS:
        return name in ("RELU", "RELU6")
    return _picks_from_several(file, reader) and all(int(t) in grid for t in reader.outputs)


def _picks_from_several(file: FlatFile, op) -> bool:
    """Whether what the op picks needs a grid that is not that of its one input."""
    floats = [t for t in map(int, op.inputs) if t >= 0 and file.dtype(t) == "float32"]
    constants = [c for t in floats if (c := file.constant(t)) is not None]
    return len(floats) - len(constants) > 1 or any(map(np.any, constants))
