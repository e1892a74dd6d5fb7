"""Where a float flatbuffer rounds: its QUANTIZE → DEQUANTIZE pairs, and what follows from them."""

from collections import defaultdict

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.grids import Grid
from converters.integer.kernels import KERNELS, Rule

_SIGNED = {
    "uint8": ("int8", 128),
    "int8": ("int8", 0),
    "uint16": ("int16", 32768),
    "int16": ("int16", 0),
}


class Rounding:
    """Which tensor is on which grid.

    Attributes:
        ops: The operators that remain when the pairs are taken out.
        source: `{rounded tensor: (the tensor it was rounded from, grid)}`.
        grid: `{computed tensor: the grid it is computed on}`.
        readers: `{tensor: the ops that read it}`; None stands for the model's output.
        names: `{(tensor, grid): name of what rounded it}`.

    Args:
        file: The flatbuffer.
    """

    def __init__(self, file: FlatFile):
        self.file = file
        self.source: dict[int, tuple[int, Grid]] = {}
        self.grid: dict[int, Grid] = {}
        self.readers: dict[int, list] = defaultdict(list)
        self.names: dict[tuple[int, Grid], bytes] = {}
        self.ops = self._take_out_pairs()
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
        return [t for t in self._float_tensors(op.inputs) if self.file.constant(t) is None]

    def float_outputs(self, op) -> list[int]:
        """The op's float32 outputs."""
        return self._float_tensors(op.outputs)

    def _float_tensors(self, tensors):
        return [int(t) for t in tensors if t >= 0 and self.file.dtype(int(t)) == "float32"]

    def _take_out_pairs(self) -> list:
        stored = self._take_out_grids()
        kept = []
        for op in self.file.graph.operators:
            name = self.file.op_name(op)
            first = int(op.inputs[0]) if len(op.inputs) else -1
            target = int(op.outputs[0]) if len(op.outputs) else -1
            if name == "QUANTIZE" and target in stored and first not in stored:
                self.source[target] = first, stored[target]
                self.names[first, stored[target]] = self.file.graph.tensors[target].name
                if first not in self.source:  # else it is rounded a second time
                    self.grid.setdefault(first, stored[target])
            elif name == "DEQUANTIZE" and first in stored:
                self.source[target] = self.source.get(first, (first, stored[first]))
            else:
                kept.append(op)
                # The converter moves a RESHAPE between QUANTIZE and DEQUANTIZE now and then.
                self.grid.update({t: stored[t] for t in map(int, op.outputs) if t in stored})
        return kept

    def _take_out_grids(self) -> dict[int, Grid]:
        """The grids of the tensors stored as integers, which become float ones."""
        grids = {}
        for index, tensor in enumerate(self.file.graph.tensors):
            parameters = tensor.quantization
            if parameters is None or parameters.scale is None or not len(parameters.scale):
                continue
            dtype, offset = _SIGNED[self.file.dtype(index)]
            zero_point = int(parameters.zeroPoint[0]) - offset
            grids[index] = Grid(dtype, float(parameters.scale[0]), zero_point)
            tensor.type, tensor.quantization = self.file.schema.TensorType.FLOAT32, None
        return grids

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
        constants = [t for t in self._float_tensors(op.inputs) if self.file.constant(t) is not None]
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
        return self.file.op_name(op) in ("RELU", "RELU6")
