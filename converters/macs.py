"""Multiply-accumulates of an operator, from its shapes."""

import math

from converters.reader import OpInfo


def multiply_accumulates(op: OpInfo) -> int:
    """Multiply-accumulates of one run of the op; 0 for ops that do not multiply with weights.

    Zeros in the weights count too: the figure says what a dense kernel computes.
    """
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        # Filters are (out, h, w, in / groups) and, depthwise, (1, h, w, out).
        _, height, width, channels = op.input_tensors[1].shape
        per_output = height * width * (1 if op.name == "DEPTHWISE_CONV_2D" else channels)
        return op.output_tensors[0].size * per_output
    if op.name == "CONV_3D":
        return op.output_tensors[0].size * math.prod(op.input_tensors[1].shape[:4])
    if op.name == "TRANSPOSE_CONV":
        # Inputs: output shape, filter (out, h, w, in), data.
        filters, height, width, _ = op.input_tensors[1].shape
        return op.input_tensors[2].size * filters * height * width
    if op.name == "FULLY_CONNECTED":
        return op.output_tensors[0].size * op.input_tensors[1].shape[-1]
    if op.name == "BATCH_MATMUL":
        return op.output_tensors[0].size * op.input_tensors[0].shape[-1]
    return 0
