"""Which tensors of a float flatbuffer are on which grid, and what follows from that."""

from collections import defaultdict

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.grids import Grid
from converters.integer.kernels import KERNELS, Rule

# What gives nothing beyond the range of its output, and the rest as it is.
_CLIPS = ("RELU", "RELU6", "RELU_N1_TO_1")


class Rounding:
    """Which tensor is on which grid.

    Attributes:
        ops: The operators to be emitted.
        source: `{rounded tensor: (the tensor it was rounded from, grid)}`.
        grid: `{computed tensor: the grid it is computed on}`.
        names: `{(tensor, grid): name of what rounded it}`.
        readers: `{tensor: the ops that read it}`; None stands for the model's output.

    Args:
        file: The flatbuffer.
        ops: As the attribute, as are the others.
    """

    def __init__(
        self,
        file: FlatFile,
        ops: list,
        grid: dict[int, Grid],
        source: dict[int, tuple[int, Grid]] | None = None,
        names: dict[tuple[int, Grid], bytes] | None = None,
    ):
        self.file, self.ops, self.grid = file, ops, grid
        self.source, self.names = source or {}, names or {}
        self.readers: dict[int, list] = defaultdict(list)
        for op in self.ops:
            for tensor in op.inputs:
                self.readers[int(tensor)].append(op)
        for tensor in file.graph.outputs:
            self.readers[int(tensor)].append(None)
        self._spread()

    def grid_of(self, tensor: int) -> Grid | None:
        """The grid of a tensor as it is read; None for a float one."""
        if tensor in self.source:
            return self.source[tensor][1]
        return self.grid.get(tensor)

    def float_inputs(self, op) -> list[int]:
        """The op's inputs that are float32 and no constants."""
        return [t for t in self.float_tensors(op.inputs) if self.file.constant(t) is None]

    def float_outputs(self, op) -> list[int]:
        """The op's float32 outputs."""
        return self.float_tensors(op.outputs)

    def float_tensors(self, tensors) -> list[int]:
        """Those of an op's tensors that are float32."""
        return [int(t) for t in tensors if t >= 0 and self.file.dtype(int(t)) == "float32"]

    def _spread(self) -> None:
        """Give moved and picked values the grid of what they came from, or go to."""
        changed = True
        while changed:
            changed = False
            for op in self.ops:
                changed |= self._spread_forward(op)
            for op in reversed(self.ops):
                changed |= self._spread_backward(op)

    def _spread_forward(self, op) -> bool:
        outputs = [t for t in self.float_outputs(op) if t not in self.grid]
        if not outputs or not self._picks(op):
            return False
        grids = {self.grid_of(t) for t in self.float_inputs(op)}
        constants = [t for t in self.float_tensors(op.inputs) if self.file.constant(t) is not None]
        if (
            len(grids) != 1
            or None in grids
            or any(np.any(self.file.constant(t)) for t in constants)
        ):
            return False
        grid = grids.pop()
        self.grid.update(dict.fromkeys(outputs, grid))
        return True

    def _spread_backward(self, op) -> bool:
        if not (self._picks(op) or self._clips(op)):
            return False
        grids = {self.grid.get(t) for t in self.float_outputs(op)}
        if len(grids) != 1 or None in grids:
            return False
        grid = grids.pop()
        blank = [
            t
            for t in self.float_inputs(op)
            if t not in self.grid and t not in self.source and len(self.readers[t]) == 1
        ]
        self.grid.update(dict.fromkeys(blank, grid))
        return bool(blank)

    def _picks(self, op) -> bool:
        kernel = KERNELS.get(self.file.op_name(op))
        return kernel is not None and kernel.rule == Rule.PICKS

    def _clips(self, op) -> bool:
        """Whether rounding its input on the grid of its output does what the op does."""
        return self.file.op_name(op) in _CLIPS
