"""A float flatbuffer that hands out every tensor it computes, for any batch size."""

import numpy as np

from converters.integer.file import FlatFile


def with_all_outputs(content: bytes, subgraph: int = 0) -> bytes:
    """The file with each computed tensor an output and `RESHAPE`s of one sample made open.

    Delegates keep no other tensors. Each tensor keeps its index.

    Args:
        content: A float `.tflite`.
        subgraph: The one whose tensors are handed out. Defaults to `0`.
    """
    file = FlatFile(content, subgraph)
    computed = [int(t) for op in file.graph.operators for t in op.outputs if t >= 0]
    # A model may hand out what it does not compute, such as its input.
    outputs = dict.fromkeys([*map(int, file.graph.outputs), *computed])
    file.graph.outputs = np.array(list(outputs), "int32")
    shapes, others = set(), set()
    for op in file.graph.operators:
        reshape = file.op_name(op) == "RESHAPE"
        for slot, tensor in enumerate(map(int, op.inputs)):
            if tensor >= 0:
                buffer = file.graph.tensors[tensor].buffer
                (shapes if reshape and slot == 1 else others).add(buffer)
        if reshape and op.builtinOptions is not None:
            op.builtinOptions.newShape = None  # which the tensor says too
    for buffer in shapes - others:
        data = file.model.buffers[buffer].data
        if data is None:
            continue
        shape = np.asarray(data, "uint8").view("<i4").copy()
        if len(shape) > 1 and shape[0] == 1 and (shape > 0).all():
            shape[0] = -1
            file.model.buffers[buffer].data = shape.view("uint8")
    return file.with_all_tensors()
