"""From a float flatbuffer that says where it rounds, or to which ranges, to one in integers."""

from collections.abc import Collection, Mapping

import numpy as np

from converters.integer.dense_scales import channelwise_dense
from converters.integer.file import FlatFile
from converters.integer.grids import (
    Grid,
    constant_grid,
    loadable_scales,
    rounded_weight_grid,
    weight_grid,
)
from converters.integer.kernels import KERNELS, Kernel, Rule
from converters.integer.pairs import rounding_of_pairs
from converters.integer.ranges import rounding_of_ranges
from converters.integer.rounded_kernels import round_kernels
from converters.integer.rounding import Rounding
from converters.reader import read_models

# With fewer weights per output channel than this, fewer bits save nothing.
_FEW_WEIGHTS = 4
# A scale is a float32, and XNNPACK multiplies it by up to 256.
_LARGEST_SCALE = 2.0**119
_BIAS = {"int8": "int32", "int16": "int64"}
# Versions of the ops by the dtype on their integer side.
_QUANTIZE = {"int8": 1, "int16": 3}
_DEQUANTIZE = {"int8": 2, "int16": 3}


def to_integer(content: bytes, edges: str = "integer") -> bytes:
    """The flatbuffer with every op in integers whose tensors are rounded and that has a kernel.

    Each tensor keeps the grid it was rounded to. Ops without an integer kernel, or with a tensor
    that is not rounded, stay float between a DEQUANTIZE and a QUANTIZE. Weights are stored in
    the fewest bits that hold their values.

    Args:
        content: A float `.tflite` with QUANTIZE → DEQUANTIZE pairs around what is rounded.
        edges: `"integer"`: inputs and outputs are integers where the model rounds them;
            `"float32"`: they are float32. Defaults to `"integer"`.

    Returns:
        The bytes of the integer `.tflite`.

    Source: LiteRT 8-bit quantization specification.
    """
    file = FlatFile(content)
    round_kernels(file)
    _Rewriter(file, rounding_of_pairs(file), edges).rewrite()
    return file.tobytes()


def quantize(
    content: bytes,
    ranges: Mapping[int, tuple[float, float]],
    activation_bits: int = 8,
    weight_bits: int | Mapping[int, int] = 8,
    symmetric: bool = False,
    edges: str = "integer",
) -> bytes:
    """The float flatbuffer with every op in integers that has a kernel, on measured ranges.

    Args:
        content: A float `.tflite`.
        ranges: `{tensor: (smallest, largest)}` of what the first subgraph computes; ops on others
            stay float.
        activation_bits: 8 or 16. Defaults to `8`.
        weight_bits: 8, or 4 where there is a kernel for it; or `{index of the op: bits}`, where
            `0` leaves an op in float and others have 8. Defaults to `8`.
        symmetric: Whether zero is the middle of an activation's integers. Defaults to `False`.
        edges: As in `to_integer`. Defaults to `"integer"`.

    Returns:
        The bytes of the integer `.tflite`.

    Source: LiteRT 8-bit quantization specification; Jacob et al. 2018, arXiv 1712.05877.
    """
    file = FlatFile(content)
    bits = {
        id(op): weight_bits.get(index, 8) if isinstance(weight_bits, Mapping) else weight_bits
        for index, op in enumerate(file.graph.operators)
    }
    _quantize([file], {0: ranges}, activation_bits, bits, symmetric, {0: edges})
    return file.tobytes()


def quantize_subgraphs(
    content: bytes,
    ranges: Mapping[int, Mapping[int, tuple[float, float]]],
    activation_bits: int = 8,
    weight_bits: int = 8,
    symmetric: bool = False,
    edges: str = "integer",
) -> bytes:
    """The float flatbuffer with the ops of several subgraphs in integers; others stay float.

    A weight that several of them read has one grid, and is stored once. A subgraph that ops of
    another call, as loops do, keeps float edges, since those who call it pass floats.

    Args:
        content: A float `.tflite`.
        ranges: `{subgraph: {tensor: (smallest, largest)}}`.
        activation_bits: As in `quantize`. Defaults to `8`.
        weight_bits: 8 or 4. Defaults to `8`.
        symmetric: As in `quantize`. Defaults to `False`.
        edges: As in `to_integer`. Defaults to `"integer"`.

    Returns:
        The bytes of the integer `.tflite`.
    """
    called = {number for model in read_models(content) for op in model.ops for number in op.calls}
    file = FlatFile(content, min(ranges))
    views = file.of(ranges)
    bits = {id(op): weight_bits for view in views for op in view.graph.operators}
    at_edges = {number: "float32" if number in called else edges for number in ranges}
    _quantize(views, ranges, activation_bits, bits, symmetric, at_edges)
    return file.tobytes()


def _quantize(views: list[FlatFile], ranges, activation_bits, bits, symmetric, edges) -> None:
    channelwise = channelwise_dense(views)
    for view in views:
        found = ranges[view.subgraph]
        rounding = rounding_of_ranges(view, found, f"int{activation_bits}", symmetric)
        _Rewriter(view, rounding, edges[view.subgraph], bits, channelwise).rewrite()


class _Rewriter:
    """Emits the ops anew, each in integers or in float, and what converts between them."""

    def __init__(
        self,
        file: FlatFile,
        rounding: Rounding,
        edges: str,
        bits: dict[int, int] | None = None,
        channelwise: Collection[int] = (),
    ):
        self.file = file
        # `{id(op): bits of its weights}`; without it, each weight's values say on what grid.
        self.bits = bits
        self.channelwise = channelwise  # ids of the Dense ops that have a scale per channel
        self.rounding = rounding
        self.integer_edges = edges == "integer"
        self.emitted: list = []
        self.on_grid: dict[tuple[int, Grid], int] = {}  # (tensor, grid) -> integer tensor
        self.computed_on: dict[int, Grid] = {}
        self.has_float: set[int] = set()

    def rewrite(self) -> None:
        graph = self.file.graph
        for tensor in graph.inputs:
            self._enter(int(tensor))
        for op in self.rounding.ops:
            width = self._width(op)
            if width is None:
                self._emit_float(op)
            else:
                self._emit_integer(op, KERNELS[self.file.op_name(op)], width)
        self._leave()
        graph.operators = self.emitted

    # Edges of the model

    def _enter(self, tensor: int) -> None:
        grid = self.rounding.grid.get(tensor)
        if grid and self.integer_edges and not self._is_read_in_float(tensor):
            integer = self._new_integer(tensor, grid)
            if not self.file.model.signatureDefs:  # then callers go by the tensor's name
                self.file.graph.tensors[integer].name = self.file.graph.tensors[tensor].name
            self._replace_edge("inputs", tensor, integer)
        else:
            self.has_float.add(tensor)

    def _is_read_in_float(self, tensor: int) -> bool:
        """Whether an op, or the caller, wants an input as it was before it is rounded."""
        if self.bits is not None:
            return False
        readers = self.rounding.readers[tensor]
        return any(op is None or self._width(op) is None for op in readers)

    def _leave(self) -> None:
        for tensor in {int(t) for t in self.file.graph.outputs}:
            if self.file.dtype(tensor) != "float32":
                continue
            grid = self.rounding.grid_of(tensor)
            if grid and self.integer_edges:
                self._replace_edge("outputs", tensor, self._integer(tensor, grid))
            else:
                self._replace_edge("outputs", tensor, self._float(tensor))

    def _replace_edge(self, side: str, old: int, new: int) -> None:
        indices = getattr(self.file.graph, side)
        setattr(self.file.graph, side, np.where(indices == old, new, indices))
        for signature in self.file.model.signatureDefs or []:
            if signature.subgraphIndex == self.file.subgraph:
                for entry in getattr(signature, side) or []:
                    if entry.tensorIndex == old:
                        entry.tensorIndex = new

    # Tensors

    def _new_integer(self, tensor: int, grid: Grid) -> int:
        index = self.file.add_tensor(tensor, grid.dtype)
        name = self.rounding.names.get((tensor, grid))
        if name is not None:  # of the layer that rounds, which the user knows
            self.file.graph.tensors[index].name = name.split(b";")[0]
        self.file.set_grid(index, grid.scale, grid.zero_point)
        self.on_grid[tensor, grid] = index
        return index

    def _origin(self, tensor: int) -> int:
        """The computed tensor that a rounded one comes from."""
        while tensor in self.rounding.source:
            tensor = self.rounding.source[tensor][0]
        return tensor

    def _integer(self, tensor: int, grid: Grid) -> int:
        """The tensor's values as integers of `grid`."""
        origin = self._origin(tensor)
        constant = self.file.constant(origin)
        if constant is not None:
            return self._integer_constant(origin, constant, grid)
        if (origin, grid) not in self.on_grid:
            self._quantize(self._nearest_form(tensor, grid), origin, grid)
        return self.on_grid[origin, grid]

    def _nearest_form(self, tensor: int, grid: Grid) -> int:
        """What the tensor's values on `grid` are rounded from."""
        own = self.rounding.grid_of(tensor)
        if own not in (None, grid):
            return self._integer(tensor, own)
        if tensor in self.rounding.source:
            parent = self.rounding.source[tensor][0]
            own = self.rounding.grid_of(parent)
            return self._nearest_form(parent, grid) if own == grid else self._integer(parent, own)
        if tensor in self.computed_on:
            return self.on_grid[tensor, self.computed_on[tensor]]
        return tensor

    def _quantize(self, source: int, tensor: int, grid: Grid) -> None:
        version = max(_QUANTIZE[grid.dtype], 1 if self.file.dtype(source) == "float32" else 2)
        target = self._new_integer(tensor, grid)
        self.emitted.append(self.file.new_op("QUANTIZE", [source], [target], version))

    def _integer_constant(self, tensor: int, values: np.ndarray, grid: Grid) -> int:
        if (tensor, grid) not in self.on_grid:
            index = self._new_integer(tensor, grid)
            self.file.set_values(index, grid.integers(values))
        return self.on_grid[tensor, grid]

    def _float(self, tensor: int) -> int:
        """The tensor's values as float32."""
        if self.file.constant(tensor) is not None or self.file.dtype(tensor) != "float32":
            return tensor
        grid = self.rounding.grid_of(tensor)
        if grid is None:
            return tensor
        origin = self._origin(tensor)
        if origin == tensor and tensor in self.has_float:
            return tensor
        integer = self._integer(tensor, grid)
        key = (integer, "float32")
        if key not in self.on_grid:
            target = self.file.add_tensor(tensor, "float32")
            op = self.file.new_op("DEQUANTIZE", [integer], [target], _DEQUANTIZE[grid.dtype])
            self.emitted.append(op)
            self.on_grid[key] = target
        return self.on_grid[key]

    # Operators

    def _width(self, op) -> str | None:
        """Dtype the op computes in; None for float."""
        kernel = KERNELS.get(self.file.op_name(op))
        if self.bits and self.bits[id(op)] == 0:
            return None
        outputs = [self.rounding.grid.get(t) for t in self.rounding.float_outputs(op)]
        inputs = [self.rounding.grid_of(t) for t in self.rounding.float_inputs(op)]
        if kernel is None or not outputs or None in outputs + inputs:
            return None
        if (
            kernel.weights is not None
            and self.file.constant(int(op.inputs[kernel.weights])) is None
        ):
            return None
        widths = {grid.dtype for grid in outputs + inputs}
        width = "int16" if "int16" in widths else "int8"
        if width not in kernel.versions or self._finest(op, kernel, width) > _LARGEST_SCALE:
            return None
        return width

    def _emit_float(self, op) -> None:
        op.inputs = np.array([self._float(int(t)) if t >= 0 else -1 for t in op.inputs], "int32")
        self.has_float.update(int(t) for t in op.outputs)
        self.emitted.append(op)

    def _emit_integer(self, op, kernel: Kernel, width: str) -> None:
        outputs = self.rounding.float_outputs(op)
        grids = {t: self._output_grid(op, kernel, width, t) for t in outputs}
        shared = next(iter(grids.values()))
        inputs = list(map(int, op.inputs))
        weights, bias = kernel.weights, None
        if weights is not None and len(inputs) > kernel.bias:
            bias = kernel.bias
        for slot, tensor in enumerate(inputs):
            if tensor < 0 or slot in (weights, bias) or self.file.dtype(tensor) != "float32":
                continue
            inputs[slot] = self._integer(tensor, self._input_grid(tensor, kernel, width, shared))
        version = kernel.versions[width]
        if weights is not None:
            version = max(version, self._emit_weights(op, kernel, width, inputs, bias, shared))
        self.computed_on.update(grids)
        if self.bits is not None:  # measured ranges: what a kernel can write is good for readers
            self.rounding.grid.update(grids)
        op.inputs = np.array(inputs, "int32")
        op.outputs = np.array(
            [
                self._new_integer(int(t), grids[int(t)]) if int(t) in grids else int(t)
                for t in op.outputs
            ],
            "int32",
        )
        self.file.with_version(op, version)
        if hasattr(op.builtinOptions, "potScaleInt16"):
            op.builtinOptions.potScaleInt16 = False
        self.emitted.append(op)

    def _output_grid(self, op, kernel: Kernel, width: str, output: int) -> Grid:
        """The grid the kernel writes; where it is not the one asked for, readers convert."""
        grid = self.rounding.grid[output]
        if kernel.rule == Rule.FIXED:
            return kernel.fixed[width]
        inputs = self.rounding.float_inputs(op)
        if kernel.rule == Rule.AVERAGES or (kernel.rule == Rule.PICKS and len(inputs) == 1):
            found = self.rounding.grid_of(inputs[0])
            constants = any(self.file.constant(int(t)) is not None for t in op.inputs if t >= 0)
            if not constants or kernel.rule == Rule.AVERAGES:
                return found.widened() if width == "int16" else found
        if width == "int16" and grid.dtype == "int8":
            grid = grid.covering()
        return grid.at_least(self._finest(op, kernel, width))

    def _finest(self, op, kernel: Kernel, width: str) -> float:
        """The scale of the output that the kernel needs more than."""
        if kernel.finest is None:
            return 0.0
        read = self.rounding.float_tensors(op.inputs)
        scales = [self._input_grid(t, kernel, width, None).scale for t in read]
        return kernel.finest(scales, width)

    def _input_grid(self, tensor: int, kernel: Kernel, width: str, shared: Grid | None) -> Grid:
        """The grid on which the kernel reads the tensor; `shared` is that of its output."""
        if kernel.rule in (Rule.PICKS, Rule.AVERAGES):
            return shared
        constant = self.file.constant(tensor)
        if constant is not None:
            return constant_grid(constant, width)
        grid = self.rounding.grid_of(tensor)
        return grid.widened() if width == "int16" else grid

    def _emit_weights(
        self, op, kernel: Kernel, width: str, inputs: list[int], bias, output: Grid
    ) -> int:
        """Put the integer kernel and bias into `inputs`; the version they ask for."""
        tensor = inputs[kernel.weights]
        values = self.file.constant(tensor)
        asked = self.bits[id(op)] if self.bits and width == "int8" else 8
        axis = kernel.channel_axis
        if self.bits and self.file.op_name(op) == "FULLY_CONNECTED" and asked == 8:
            axis = axis if id(op) in self.channelwise else None
        if asked in kernel.narrow:
            grid = rounded_weight_grid(values, axis, asked)
        else:
            grid = weight_grid(values, axis)
        bits = 8
        # The bias counts in steps of the kernel: where that is a factor or so, they stay fine; and
        # XNNPACK has no 4-bit depthwise kernels, as one of equal factors would be.
        channels = values.shape[kernel.channel_axis]
        if width == "int8" and values.size >= _FEW_WEIGHTS * channels:
            bits = min((b for b in kernel.narrow if grid.fits(b)), default=8)
        data = inputs[2 if self.file.op_name(op) == "TRANSPOSE_CONV" else 0]
        input_scale = float(self.file.graph.tensors[data].quantization.scale[0])
        has_bias = bias is not None and inputs[bias] >= 0
        smallest = 0.0
        if has_bias:
            shifts = np.abs(self.file.constant(inputs[bias]).astype("float64"))
            smallest = (shifts if grid.axis is not None else shifts.max()) / input_scale / 2**30
        scales = grid.scales(bits, smallest)
        stored = loadable_scales(scales, input_scale, output)
        key = (tensor, bits, stored.tobytes())
        if key not in self.on_grid:
            index = self.file.add_tensor(tensor, f"int{bits}")
            self.file.set_grid(index, stored, 0, grid.axis)
            self.file.set_values(index, grid.integers(values, scales))
            self.on_grid[key] = index
        inputs[kernel.weights] = self.on_grid[key]
        if has_bias:
            steps = [input_scale * each.astype("float64") for each in (scales, stored)]
            inputs[bias] = self._integer_bias(inputs[bias], *steps, _BIAS[width])
        return kernel.narrow.get(bits, 1)

    def _integer_bias(self, tensor: int, step: np.ndarray, stored: np.ndarray, dtype: str) -> int:
        values = self.file.constant(tensor).astype("float64")
        limits = np.iinfo("int32")
        integers = np.clip(np.round(values / step), limits.min, limits.max).astype(dtype)
        index = self.file.add_tensor(tensor, dtype)
        self.file.set_grid(index, stored.astype("float32"), 0, 0)
        self.file.set_values(index, integers)
        return index
