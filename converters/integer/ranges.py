"""Where a float flatbuffer is to round: on the grids of measured ranges."""

from collections.abc import Mapping

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.grids import Grid, range_grid
from converters.integer.kernels import KERNELS, Rule
from converters.integer.rounding import Rounding


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
        elif kernel.rule == Rule.PICKS and not _picks_from_several(file, op):
            for tensor in outputs:  # it moves values, on the grid they have
                del grid[tensor]
    _join(file, grid)
    return Rounding(file, list(file.graph.operators), grid)


def _join(file: FlatFile, grid: dict[int, Grid]) -> None:
    """Leave what only one op reads, that picks from several or clips, to the grid of that op.

    Its values are rounded once then, to the grid where they are needed, and not twice.
    """
    readers: dict[int, list] = {}
    for op in file.graph.operators:
        for tensor in map(int, op.inputs):
            readers.setdefault(tensor, []).append(op)
    outputs = set(map(int, file.graph.outputs))
    for op in file.graph.operators:
        kernel = KERNELS.get(file.op_name(op))
        for tensor in map(int, op.outputs):
            found = readers.get(tensor, [])
            if len(found) != 1 or tensor in outputs or kernel is None:
                continue
            if kernel.rule == Rule.OWN and _rounds_for(file, found[0]):
                grid.pop(tensor, None)


def _rounds_for(file: FlatFile, reader) -> bool:
    name = file.op_name(reader)
    kernel = KERNELS.get(name)
    picks = kernel is not None and kernel.rule == Rule.PICKS and _picks_from_several(file, reader)
    return picks or name in ("RELU", "RELU6")


def _picks_from_several(file: FlatFile, op) -> bool:
    """Whether what the op picks needs a grid that is not that of its one input."""
    floats = [t for t in map(int, op.inputs) if t >= 0 and file.dtype(t) == "float32"]
    constants = [c for t in floats if (c := file.constant(t)) is not None]
    return len(floats) - len(constants) > 1 or any(map(np.any, constants))
