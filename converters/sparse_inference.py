"""Whether XNNPACK multiplies by a file's sparse kernels as they are, told from its graph.

It does so where it can keep activations channel by channel: from a first convolution on, which
has to be of one kind, to an average over the image. What is rewritten so is found before anybody
asks whether it ends well, and in some nets it does not.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from converters.integer.file import FlatFile

_STARTS, _STAYS, _LEAVES = "starts", "stays", "leaves"
_ENDS = ("MEAN", "SUM", "DEPTH_TO_SPACE")
_UNARY = (  # one number to one number
    "ABS CEIL ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC NEG RELU RELU6 RELU_N1_TO_1 "
    "ROUND RSQRT SQRT SQUARE TANH"
)
_BINARY = ("ADD", "MUL")
_WITH_KERNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_READ_ONE = {*_ENDS, *_UNARY.split(), "RESIZE_BILINEAR"}
_LEAST_ZEROS = 2 / 3


@dataclass(frozen=True)
class SparseInference:
    """What XNNPACK does with sparse kernels, on processors where it multiplies by such.

    Attributes:
        reason: Why it makes them dense at load; None if it does not.
        harm: What would fail or be wrong in such a file; None if nothing.
    """

    reason: str | None
    harm: str | None


def sparse_inference(content: bytes) -> SparseInference:
    """What XNNPACK makes of a file whose kernels are sparse, or would be.

    Source: XNNPACK, src/subgraph.c, xnn_check_nchw_compatibility and
    xnn_subgraph_rewrite_for_nchw; ends and harm as LiteRT 2.3 was seen to behave.
    """
    file = FlatFile(content)
    numbers = [signature.subgraphIndex for signature in file.model.signatureDefs or ()] or [0]
    verdicts = [_Graph(view).verdict() for view in file.of(dict.fromkeys(numbers))]
    reasons = [verdict.reason for verdict in verdicts if verdict.reason]
    return SparseInference(
        reasons[0] if len(reasons) == len(verdicts) else None,
        next((verdict.harm for verdict in verdicts if verdict.harm), None),
    )


@dataclass
class _Node:
    index: int
    op: object
    name: str
    flag: str | None
    obstacle: str
    inputs: list[int]  # those that are computed
    outputs: list[int]
    cluster: int
    bad: bool = False


class _Graph:
    def __init__(self, file: FlatFile):
        self.file, self.tensors = file, file.graph.tensors
        ops = file.graph.operators
        for op in ops:
            op.inputs, op.outputs = _numbers(op.inputs), _numbers(op.outputs)
        names = [file.op_name(op) for op in ops]
        self.stored = {  # where a kernel's values are
            op.outputs[0]: op.inputs[0]
            for op, name in zip(ops, names, strict=True)
            if name in ("DENSIFY", "DEQUANTIZE") and self._data(op.inputs[0]) is not None
        }
        self.outputs = _numbers(file.graph.outputs)
        self.readers = Counter(t for op in ops for t in op.inputs if t >= 0)
        self.readers.update(self.outputs)
        self.nodes: list[_Node] = []
        self.maker: dict[int, _Node] = {}
        self.pads: dict[int, np.ndarray] = {}  # of PADs folded into the op that reads them
        self.padded: dict[int, int] = {}  # what such a PAD reads
        valid = {op.inputs[0] for op in ops if self._is_valid(op)}
        for index, (op, name) in enumerate(zip(ops, names, strict=True)):
            if name == "PAD" and self._folds(op, valid):
                self.pads[op.outputs[0]] = np.reshape(self._integers(op.inputs[1]), (-1, 2))
                self.padded[op.outputs[0]] = op.inputs[0]
            elif not self.stored.keys() & set(op.outputs):
                self._add(index, op, name)

    def verdict(self) -> SparseInference:
        if not any(node.flag for node in self.nodes):
            return SparseInference("it multiplies by sparse kernels in float32 only", None)
        starts = [node for node in self.nodes if node.flag == _STARTS]
        if not starts:
            return SparseInference(
                "the net does not start with a 3×3 convolution of 3 channels, stride 2, with one "
                "row of zeros on each side (ZeroPadding2D(1), then padding='valid')",
                None,
            )
        if not self._connect():
            return SparseInference(self._obstacle(starts[0]), None)
        self._refuse_other_readers()
        zeros, harm = self._rewritten()
        if harm is None and not zeros:
            return SparseInference(self._obstacle(starts[0]), None)
        return SparseInference(None, harm)

    def _add(self, index: int, op, name: str) -> None:
        inputs = [self.padded.get(t, t) for t in op.inputs if t >= 0 and not self._constant(t)]
        flag, obstacle = self._flag(op, name)
        node = _Node(index, op, name, flag, obstacle, inputs, op.outputs, index)
        self.nodes.append(node)
        self.maker.update(dict.fromkeys(node.outputs, node))

    def _flag(self, op, name: str) -> tuple[str | None, str]:
        """Whether the op computes channel by channel, and if not, why."""
        if name not in (*_READ_ONE, *_BINARY, *_WITH_KERNEL):
            return None, "computes in another layout"
        options, first = op.builtinOptions, op.inputs[0]
        read = [first] if name in _READ_ONE else op.inputs[:2]
        if any(self.file.dtype(t) != "float32" for t in [*read, *op.outputs]):
            return None, "is not in float32"
        if name == "FULLY_CONNECTED":
            return _STAYS, ""
        if len(self._shape(first)) != 4:
            return None, "has no image"
        if name in _ENDS:
            return _LEAVES, ""
        if name in _READ_ONE:
            return _STAYS, ""
        if name in _BINARY:
            alike = all(len(self._shape(t)) == 4 and not self._constant(t) for t in read)
            return (_STAYS, "") if alike else (None, "has a constant")
        _, *kernel, channels = self._shape(op.inputs[1])
        stride = options.strideH, options.strideW
        if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
            return None, "is dilated"
        around = self._around(op, kernel, stride)
        if name == "CONV_2D" and channels == self._shape(first)[3]:
            if kernel == [1, 1] and stride == (1, 1) and around == [0] * 4:
                return _STAYS, ""
            if kernel == [3, 3] and stride == (2, 2) and around == [1] * 4 and channels == 3:
                return _STARTS, ""
        if name == "DEPTHWISE_CONV_2D" and channels == self._shape(first)[3]:
            square = kernel in ([3, 3], [5, 5]) and stride in ((1, 1), (2, 2))
            if square and around == [kernel[0] // 2] * 4:
                return _STAYS, ""
        return None, (
            f"has a kernel of {kernel[0]}×{kernel[1]}, stride {stride[0]} and "
            f"{'other' if around is None else around} zeros around"
        )

    def _connect(self) -> bool:
        """Join each node with those whose values it reads; whether an end is reached."""
        reached = False
        for node in self.nodes:
            if node.flag not in (_STAYS, _LEAVES):
                continue
            for tensor in node.inputs:
                maker = self.maker.get(tensor)
                if maker is None or maker.flag is None:
                    node.bad = True
                    continue
                if node.flag == _LEAVES or not maker.bad:
                    self._join(maker.cluster, node.cluster)
                    reached |= node.flag == _LEAVES
                node.bad |= maker.bad
        self.bad = {node.cluster for node in self.nodes if node.bad}
        return reached

    def _join(self, a: int, b: int) -> None:
        for node in self.nodes:
            if node.cluster == a:
                node.cluster = b

    def _refuse_other_readers(self) -> None:
        inside = [
            n for n in self.nodes if n.flag in (_STAYS, _LEAVES) and n.cluster not in self.bad
        ]
        readers = Counter(tensor for node in inside for tensor in node.inputs)
        for node in inside:
            if any(readers[t] != self.readers[t] for t in node.inputs):
                self.bad.add(node.cluster)

    def _rewritten(self) -> tuple[bool, str | None]:
        """Whether anything is, and the harm in it."""
        weights, zeros = Counter(), Counter()
        for node in self.nodes:
            if node.name not in ("CONV_2D", "FULLY_CONNECTED") or node.cluster in self.bad:
                continue
            kernel = node.op.inputs[1]
            if self._shape(kernel)[1:3] not in ([1, 1], self._shape(kernel)[1:2]):
                continue  # not pointwise
            if self.file.dtype(self.stored.get(kernel, kernel)) not in ("float32", "float16"):
                return False, f"{_named(node)} has kernels that it cannot count the zeros of"
            size = int(np.prod(self._shape(kernel)))
            weights[node.cluster] += size
            zeros[node.cluster] += size - self._nonzero(kernel)
        self.shares = {c: zeros[c] / weights[c] for c in weights if c not in self.bad}
        inside = [
            node
            for node in self.nodes
            if node.flag and self.shares.get(node.cluster, 0) > _LEAST_ZEROS
        ]
        by_channel = {t for n in inside if n.flag != _STARTS for t in n.inputs}
        harm = next(filter(None, (self._harm(node, by_channel) for node in inside)), None)
        return bool(by_channel), harm

    def _harm(self, node: _Node, by_channel: set[int]) -> str | None:
        """What goes wrong at a node that is rewritten."""
        options, made = node.op.builtinOptions, node.outputs[0]
        if node.name in ("MEAN", "SUM"):
            if {axis % 4 for axis in self._integers(node.op.inputs[1])} != {1, 2}:
                return f"{_named(node)} is not over the image alone"
            readers = [n.name for n in self.nodes if made in n.inputs]
            reshaped = set(readers) <= {"RESHAPE"} and made not in self.outputs
            if options.keepDims and made not in by_channel and not reshaped:
                return f"the output of {_named(node)} gets its axes in another order"
            return None
        if node.name == "FULLY_CONNECTED":
            flat = len(self._shape(node.inputs[0])) == 2
            return None if flat else f"{_named(node)} reads its image in another order"
        if node.flag != _LEAVES and made not in by_channel:
            return f"what follows {_named(node)} reads its output in another order"
        return None

    def _obstacle(self, start: _Node) -> str:
        """The first op that keeps activations from staying channel by channel."""
        ends = [node.index for node in self.nodes if node.flag == _LEAVES]
        if not ends:
            return "no average over the image (GlobalAveragePooling2D) ends it"
        for node in self.nodes:
            if start.index < node.index < max(ends) and node.flag is None:
                return f"{_named(node)} {node.obstacle}"
        shares = getattr(self, "shares", {})
        if shares:
            return (
                f"{max(shares.values()):.0%} of the weights of its pointwise convolutions are "
                "zero, which has to be more than two thirds"
            )
        return "what one of its convolutions computes is read by an op in another layout"

    def _shape(self, tensor: int) -> list[int]:
        shape = self.tensors[tensor].shape
        return [] if shape is None else list(map(int, shape))

    def _data(self, tensor: int):
        data = self.file.model.buffers[self.tensors[tensor].buffer].data
        return None if data is None or len(data) == 0 else data

    def _constant(self, tensor: int) -> bool:
        return tensor in self.stored or self._data(tensor) is not None

    def _nonzero(self, kernel: int) -> int:
        kernel = self.stored.get(kernel, kernel)
        values = np.asarray(self._data(kernel), "uint8").view(self.file.dtype(kernel))
        return int(np.count_nonzero(values))

    def _integers(self, tensor: int) -> list[int]:
        """Values of a constant; none of what is computed."""
        data = self._data(tensor)
        if data is None:
            return []
        return np.asarray(data, "uint8").view(self.file.dtype(tensor)).tolist()

    def _is_valid(self, op) -> bool:
        """Whether it is a convolution that pads nothing itself."""
        convolution = self.file.op_name(op) in ("CONV_2D", "DEPTHWISE_CONV_2D")
        return convolution and op.builtinOptions.padding == self.file.schema.Padding.VALID

    def _folds(self, op, valid: set[int]) -> bool:
        """Whether a PAD becomes part of the one op that reads it."""
        made, paddings = op.outputs[0], self._integers(op.inputs[1])
        image_alone = len(paddings) == 8 and not any(paddings[:2] + paddings[6:])
        return image_alone and made in valid and self.readers[made] == 1

    def _around(self, op, kernel: list[int], stride: tuple[int, int]) -> list[int] | None:
        """Zeros above, below, left and right; None where they depend on the image."""
        if self._is_valid(op):
            folded = self.pads.get(op.inputs[0])
            return [0] * 4 if folded is None else folded[1:3].ravel().tolist()
        if stride != (1, 1) or not (kernel[0] % 2 and kernel[1] % 2):
            return None
        return [side // 2 for side in kernel for _ in range(2)]


def _numbers(vector) -> list[int]:
    return [] if vector is None else list(map(int, vector))


def _named(node: _Node) -> str:
    return f"op {node.index}, {node.name},"
