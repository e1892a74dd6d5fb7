"""TensorFlow functions called on symbolic tensors of legacy Keras, as operations of Keras 3.

Keras 2 put each such call, as `x + 3` or `tf.nn.relu6(x)`, into a layer of its own.
"""

import inspect
import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from converters.errors import MigrationError


def _reduction(operation: Callable) -> Callable:
    def reduced(input_tensor, axis=None, keepdims=False):
        axis = tuple(np.ravel(axis).tolist()) if axis is not None else None
        return operation(input_tensor, axis=axis, keepdims=bool(keepdims))

    return reduced


def _pair(operation: Callable) -> Callable:
    return lambda x, y: operation(*_tensors(x, y))


def _tensors(x, y) -> tuple:
    """Both of them: files hold constant tensors as lists."""
    if isinstance(x, list):
        x = np.asarray(x, y.dtype)
    if isinstance(y, list):
        y = np.asarray(y, x.dtype)
    return x, y


def _matmul(a, b, transpose_a=False, transpose_b=False):
    a, b = _tensors(a, b)
    return ops.matmul(
        ops.swapaxes(a, -1, -2) if transpose_a else a,
        ops.swapaxes(b, -1, -2) if transpose_b else b,
    )


def _argmax(input, axis=None, output_type="int64"):
    # TensorFlow counts with 64 bits, Keras 3 with 32.
    return ops.cast(ops.argmax(input, axis=axis or 0), _dtype(output_type))


def _dtype(dtype) -> str:
    return keras.backend.standardize_dtype(dtype)


def _reshape(tensor, shape):
    shape = [int(size) for size in shape]
    if shape[0] == -1 and shape.count(-1) == 2 and None not in tensor.shape[1:]:
        # The batch as it is, and whatever is left.
        left = math.prod(tensor.shape[1:]) // math.prod(size for size in shape if size != -1)
        shape = [-1, *(left if size == -1 else size for size in shape[1:])]
    return ops.reshape(tensor, tuple(shape))


def _transpose(a, perm=None):
    return ops.transpose(a, None if perm is None else tuple(int(axis) for axis in perm))


def _shape(input):
    return tuple(-1 if size is None else size for size in input.shape)


def _item(tensor, slice_spec):
    return tensor[_slices(slice_spec)]


def _slices(spec):
    """A key for `[]`; a file holds slices as dicts, and tuples as lists."""
    if isinstance(spec, dict):
        return slice(spec["start"], spec["stop"], spec["step"])
    if isinstance(spec, (list, tuple)):
        return tuple(_slices(part) for part in spec)
    return Ellipsis if spec == "..." else spec


def _resize(images, size, method="bilinear", preserve_aspect_ratio=False, antialias=False):
    if preserve_aspect_ratio:
        raise MigrationError("tf.image.resize with preserve_aspect_ratio=True")
    size = tuple(int(length) for length in size)
    return ops.image.resize(images, size, interpolation=method, antialias=antialias)


def _pad(tensor, paddings, mode="CONSTANT", constant_values=0):
    widths = tuple(tuple(int(width) for width in pair) for pair in paddings)
    value = constant_values if mode.upper() == "CONSTANT" else None
    return ops.pad(tensor, widths, mode=mode.lower(), constant_values=value)


def _split(value, num_or_size_splits, axis=0):
    if np.ndim(num_or_size_splits):
        num_or_size_splits = np.cumsum(num_or_size_splits)[:-1].tolist()
    return ops.split(value, num_or_size_splits, axis=axis)


def _cast(x, dtype):
    return ops.cast(x, _dtype(dtype))


def _pooled(operation: Callable) -> Callable:
    def pooled(input, ksize, strides, padding, data_format="NHWC"):
        _channels_last(data_format)
        return operation(input, _two(ksize), strides=_two(strides), padding=padding.lower())

    return pooled


def _two(sizes) -> tuple[int, int]:
    """Of both sides of an image: TensorFlow takes one, two or four numbers."""
    found = [int(size) for size in np.ravel(sizes)]
    return {1: (found[0],) * 2, 2: tuple(found), 4: tuple(found[1:3])}[len(found)]


def _blocks(operation: Callable) -> Callable:
    def moved(input, block_size, data_format="NHWC"):
        _channels_last(data_format)
        return operation(input, int(block_size), data_format="channels_last")

    return moved


def _channels_last(data_format: str) -> None:
    if data_format != "NHWC":
        raise MigrationError(f"channels come first, data_format={data_format!r}")


def _one_hot(indices, depth, on_value=None, off_value=None, axis=None, dtype=None):
    on, off = 1 if on_value is None else on_value, 0 if off_value is None else off_value
    chosen = ops.one_hot(
        indices, int(depth), axis=-1 if axis is None else axis, dtype=_dtype(dtype or "float32")
    )
    return chosen if (on, off) == (1, 0) else chosen * (on - off) + off


def _unstack(value, num=None, axis=0):
    return ops.unstack(value, num=num, axis=axis)


def _add_n(inputs):
    total = inputs[0]
    for value in inputs[1:]:
        total = ops.add(total, value)
    return total


# The parameters have TensorFlow's names: calls give them by position or by name.
OPERATIONS: dict[str, Callable] = {
    "math.add": _pair(ops.add),
    "math.subtract": _pair(ops.subtract),
    "math.multiply": _pair(ops.multiply),
    "math.truediv": _pair(ops.true_divide),
    "math.divide": _pair(ops.true_divide),
    "math.floordiv": _pair(ops.floor_divide),
    "math.pow": _pair(ops.power),
    "math.maximum": _pair(ops.maximum),
    "math.minimum": _pair(ops.minimum),
    "math.greater": _pair(ops.greater),
    "math.greater_equal": _pair(ops.greater_equal),
    "math.less": _pair(ops.less),
    "math.less_equal": _pair(ops.less_equal),
    "math.equal": _pair(ops.equal),
    "math.not_equal": _pair(ops.not_equal),
    "math.logical_and": _pair(ops.logical_and),
    "math.logical_or": _pair(ops.logical_or),
    "math.logical_not": lambda x: ops.logical_not(x),
    "math.negative": lambda x: ops.negative(x),
    "math.abs": lambda x: ops.abs(x),
    "math.sign": lambda x: ops.sign(x),
    "math.square": lambda x: ops.square(x),
    "math.sqrt": lambda x: ops.sqrt(x),
    "math.rsqrt": lambda x: ops.rsqrt(x),
    "math.exp": lambda x: ops.exp(x),
    "math.log": lambda x: ops.log(x),
    "math.log1p": lambda x: ops.log1p(x),
    "math.sin": lambda x: ops.sin(x),
    "math.cos": lambda x: ops.cos(x),
    "math.erf": lambda x: ops.erf(x),
    "math.round": lambda x: ops.round(x),
    "math.floor": lambda x: ops.floor(x),
    "math.ceil": lambda x: ops.ceil(x),
    "math.tanh": lambda x: ops.tanh(x),
    "math.sigmoid": lambda x: ops.sigmoid(x),
    "math.softplus": lambda features: ops.softplus(features),
    "math.argmax": _argmax,
    "math.reduce_mean": _reduction(ops.mean),
    "math.reduce_sum": _reduction(ops.sum),
    "math.reduce_max": _reduction(ops.max),
    "math.reduce_min": _reduction(ops.min),
    "math.reduce_prod": _reduction(ops.prod),
    "math.reduce_std": _reduction(ops.std),
    "math.reduce_variance": _reduction(ops.var),
    "math.l2_normalize": lambda x, axis=None, epsilon=1e-12: ops.multiply(
        x, ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), epsilon))
    ),
    "nn.relu": lambda features: ops.relu(features),
    "nn.relu6": lambda features: ops.relu6(features),
    "nn.elu": lambda features: ops.elu(features),
    "nn.selu": lambda features: ops.selu(features),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate=approximate),
    "nn.silu": lambda features: ops.silu(features),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=alpha),
    "nn.softmax": lambda logits, axis=-1: ops.softmax(logits, axis=-1 if axis is None else axis),
    "nn.log_softmax": lambda logits, axis=-1: ops.log_softmax(
        logits, axis=-1 if axis is None else axis
    ),
    "math.floormod": _pair(ops.mod),
    "math.squared_difference": _pair(lambda x, y: ops.square(ops.subtract(x, y))),
    "math.reduce_any": _reduction(ops.any),
    "math.reduce_all": _reduction(ops.all),
    "math.reduce_logsumexp": _reduction(ops.logsumexp),
    "math.cumsum": lambda x, axis=0: ops.cumsum(x, axis=axis),
    "math.top_k": lambda input, k=1, sorted=True: ops.top_k(input, k, sorted=sorted),
    "math.add_n": _add_n,
    "nn.bias_add": lambda value, bias: ops.add(*_tensors(value, bias)),
    "nn.avg_pool2d": _pooled(ops.average_pool),
    "nn.max_pool2d": _pooled(ops.max_pool),
    "nn.depth_to_space": _blocks(ops.depth_to_space),
    "nn.space_to_depth": _blocks(ops.space_to_depth),
    "linalg.matmul": _matmul,
    "einsum": lambda equation, inputs: ops.einsum(equation, *inputs),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(
        t, clip_value_min, clip_value_max
    ),
    "concat": lambda values, axis: ops.concatenate(values, axis=int(axis)),
    "stack": lambda values, axis=0: ops.stack(values, axis=axis),
    "expand_dims": lambda input, axis: ops.expand_dims(input, int(axis)),
    "squeeze": lambda input, axis=None: ops.squeeze(input, axis=axis),
    "tile": lambda input, multiples: ops.tile(input, tuple(int(m) for m in multiples)),
    "identity": lambda input: input,
    "stop_gradient": lambda input: ops.stop_gradient(input),
    "cast": _cast,
    "image.resize": _resize,
    "pad": _pad,
    "reshape": _reshape,
    "shape": _shape,
    "split": _split,
    "transpose": _transpose,
    "one_hot": _one_hot,
    "unstack": _unstack,
    "reverse": lambda tensor, axis: ops.flip(tensor, axis=tuple(np.ravel(axis).tolist())),
    "roll": lambda input, shift, axis: ops.roll(input, shift, axis=axis),
    "broadcast_to": lambda input, shape: ops.broadcast_to(input, tuple(int(n) for n in shape)),
    "gather": lambda params, indices, axis=None: ops.take(params, indices, axis=axis or 0),
    "zeros_like": lambda input: ops.zeros_like(input),
    "ones_like": lambda input: ops.ones_like(input),
    "where": lambda condition, x, y: ops.where(condition, x, y),
    "__operators__.getitem": _item,
}
_SAME = {
    "__operators__.add": "math.add",
    "floor_div": "math.floordiv",
    "nn.tanh": "math.tanh",
    "nn.sigmoid": "math.sigmoid",
    "nn.swish": "nn.silu",
    "nn.softplus": "math.softplus",
    "nn.l2_normalize": "math.l2_normalize",
    "math.softmax": "nn.softmax",
}
# Ops of a graph, as TensorFlow 2.0 to 2.3 wrote them down; constants come as inputs.
_ELEMENTWISE_NODES = {
    "Add": "math.add",
    "AddV2": "math.add",
    "Sub": "math.subtract",
    "Mul": "math.multiply",
    "RealDiv": "math.truediv",
    "Pow": "math.pow",
    "Maximum": "math.maximum",
    "Minimum": "math.minimum",
    "Neg": "math.negative",
    "Abs": "math.abs",
    "Square": "math.square",
    "Sqrt": "math.sqrt",
    "Rsqrt": "math.rsqrt",
    "Exp": "math.exp",
    "Log": "math.log",
    "Tanh": "math.tanh",
    "Sigmoid": "math.sigmoid",
    "Relu": "nn.relu",
    "Relu6": "nn.relu6",
    "Softmax": "nn.softmax",
    "Softplus": "math.softplus",
    "Identity": "identity",
    "Reshape": "reshape",
    "Transpose": "transpose",
    "ExpandDims": "expand_dims",
}
_REDUCTIONS = {
    "Mean": "math.reduce_mean",
    "Sum": "math.reduce_sum",
    "Max": "math.reduce_max",
    "Min": "math.reduce_min",
}
NODES = _ELEMENTWISE_NODES | _REDUCTIONS


def known_symbol(symbol: str) -> str:
    """The name under which `OPERATIONS` has a function of TensorFlow, if it has it."""
    known = symbol.removeprefix("tf.").removeprefix("compat.v1.")
    return _SAME.get(known, known)


def operation(layer) -> Callable:
    """What a layer that wraps a TensorFlow function does, in Keras 3.

    Args:
        layer: A TFOpLambda, SlicingOpLambda or TensorFlowOpLayer.

    Raises:
        MigrationError: Keras 3 has no such operation here.
    """
    if type(layer).__name__ == "TensorFlowOpLayer":
        return _node_operation(layer)
    symbol = getattr(layer, "symbol", None) or str(getattr(layer, "attr_name", ""))
    found = OPERATIONS.get(known_symbol(symbol))
    if found is None:
        raise MigrationError(f"{layer.name!r}: no counterpart of tf.{symbol} is known here")
    signature = inspect.signature(layer.function)

    def run(*args, **kwargs):
        given = _plain(dict(signature.bind(*args, **kwargs).arguments))
        wanted = inspect.signature(found).parameters
        for name in given.keys() - wanted.keys() - {"name", "out_type"}:
            if given[name] is not None and given[name] != signature.parameters[name].default:
                raise MigrationError(f"{layer.name!r}: tf.{symbol} has {name}={given[name]!r}")
        return found(**{name: value for name, value in given.items() if name in wanted})

    return run


def _node_operation(layer) -> Callable:
    op = layer.node_def.op
    if op not in NODES:
        raise MigrationError(f"{layer.name!r}: no counterpart of the op {op} is known here")

    def run(inputs):
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        for index, constant in sorted(layer.constants.items()):
            tensors.insert(index, _plain(constant))
        if op in _REDUCTIONS:
            tensors.append(layer.node_def.attr["keep_dims"].b)
        return OPERATIONS[NODES[op]](*tensors)

    return run


def _plain(value):
    """Constants as arrays and numbers, which a `.keras` file can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    if hasattr(value, "numpy") and not isinstance(value, keras.KerasTensor):
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0:
        return value.item()
    return value
