"""One small instance of each builtin op in each dtype, as converters write them."""

from collections.abc import Callable, Iterator

from ai_edge_litert import schema_py_generated as schema

from benchmarks.op_support.op_files import IMAGE, OneOp, Operand, data, ints, weights

DTYPES = (
    "float32",
    "float16",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "uint32",
    "bool",
    "string",
)
# Activations and weights of ops that have both, beside those of one dtype.
MIXED = ("float32×int8", "float32×int4", "int8×int4")


def _names(text: str) -> list[str]:
    return text.split()


_HALF, _ROW = (1, 2, 2, 2), (2, 4)
_UNARY = _names("""
    ABS CEIL COS ELU EXP FLOOR GELU HARD_SWISH L2_NORMALIZATION LEAKY_RELU LOG LOGICAL_NOT
    LOGISTIC LOG_SOFTMAX NEG RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SIGN SIN
    SOFTMAX SQRT SQUARE TANH ZEROS_LIKE
""")
_BINARY = _names("""
    ADD SUB MUL DIV MAXIMUM MINIMUM FLOOR_DIV FLOOR_MOD POW SQUARED_DIFFERENCE ATAN2
    BITWISE_XOR RIGHT_SHIFT LOGICAL_AND LOGICAL_OR ADD_N
""")
_COMPARE = _names("""
    EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL
""")
_REDUCE = _names("""
    MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD REDUCE_ANY REDUCE_ALL
""")
_POOLS = _names("""
    AVERAGE_POOL_2D MAX_POOL_2D L2_POOL_2D
""")
_WEIGHTED = _names("""
    CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED TRANSPOSE_CONV BATCH_MATMUL CONV_3D
    CONV_3D_TRANSPOSE SVDF UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN RNN LSTM
    BIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN EMBEDDING_LOOKUP
""")
_SEGMENTS = _names("""
    SEGMENT_SUM UNSORTED_SEGMENT_SUM UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
    UNSORTED_SEGMENT_MIN
""")
# Ops that converters give weights of 4 bits.
_FOUR_BITS = _names("""
    BATCH_MATMUL CONV_2D DEPTHWISE_CONV_2D EMBEDDING_LOOKUP FULLY_CONNECTED TRANSPOSE_CONV
""")
# Ops whose indices may be of 64 bits.
_INDEXED = _names("""
    GATHER GATHER_ND PAD PADV2 MIRROR_PAD SLICE TRANSPOSE TILE BROADCAST_TO SPLIT_V FILL
    SCATTER_ND ARG_MAX ARG_MIN RESHAPE EXPAND_DIMS STRIDED_SLICE SELECT_V2 ONE_HOT
    EMBEDDING_LOOKUP REVERSE_SEQUENCE
""")


def all_ops() -> Iterator[OneOp]:
    """Every op in every dtype, one after another."""
    for name in sorted({*_UNARY, *_BINARY, *_COMPARE, *_REDUCE, *_POOLS, *_SEGMENTS, *_MADE}):
        if name in ("CAST", "QUANTIZE", "DEQUANTIZE", "BITCAST"):
            yield from _conversions(name)
            continue
        for dtype in DTYPES:
            yield one_op(name, dtype)
            if dtype in ("int8", "uint8", "int16"):
                yield one_op(name, dtype, plain=True)
            if name in _INDEXED and dtype != "int64":
                yield one_op(name, dtype, index="int64")
        if name in _WEIGHTED:
            for dtype in MIXED:
                if name in _FOUR_BITS or "int4" not in dtype:
                    yield one_op(name, dtype)


def one_op(name: str, dtype: str, plain: bool = False, index: str = "int32") -> OneOp:
    """An op whose data are of a dtype.

    Args:
        name: As the schema spells it.
        dtype: Out of `DTYPES`, or, for ops with weights, `MIXED`.
        plain: Whether integers stand for themselves. Defaults to `False`.
        index: Dtype of indices. Defaults to `"int32"`.
    """

    def image(shape=IMAGE, fixed="") -> Operand:
        return data(shape, _split(dtype)[0], plain, fixed)

    if name in _UNARY:
        options = {"SOFTMAX": {"beta": 1.0}, "LEAKY_RELU": {"alpha": 0.1}}.get(name, {})
        return OneOp(name, [image()], [image(fixed=name)], options)
    if name in _BINARY:
        return OneOp(name, [image(), image()], [image()])
    if name in _COMPARE:
        return OneOp(name, [image(), image()], [Operand(IMAGE, "bool")])
    if name in _REDUCE:
        return OneOp(name, [image(), ints(1, 2)], [image((1, 2))])
    if name in _POOLS:
        sides = dict.fromkeys(("filterHeight", "filterWidth", "strideH", "strideW"), 2)
        return OneOp(name, [image()], [image(_HALF)], sides)
    if name in _SEGMENTS:
        last = () if name == "SEGMENT_SUM" else (ints(2),)
        ids = Operand((2,), "int32", [0, 1])
        last = tuple(Operand((), t.dtype, 2) for t in last)
        return OneOp(name, [image(_ROW), ids, *last], [image(_ROW)])
    return _MADE[name](name, dtype, image, index)


def _conversions(name: str) -> Iterator[OneOp]:
    for source in DTYPES:
        for result in DTYPES:
            plain = name == "CAST"
            if name == "DEQUANTIZE" and result not in ("float32", "float16"):
                continue
            if name == "QUANTIZE" and result not in ("int8", "uint8", "int16", "int32"):
                continue
            into = data(IMAGE, result, plain)
            if name == "QUANTIZE" and result == "int32":
                into = Operand(IMAGE, "int32", None, (0.1,), 0)
            yield OneOp(name, [data(IMAGE, source, plain)], [into])


Image = Callable[..., Operand]


def _weighted(name: str, dtype: str, image: Image, index: str) -> OneOp:
    """Layers: float, quantized by channel, 16×8, or hybrid."""
    activation, stored = _split(dtype)
    plain = not image().scales
    shapes = {
        "CONV_2D": (IMAGE, (4, 1, 1, 2), (1, 4, 4, 4)),
        "DEPTHWISE_CONV_2D": (IMAGE, (1, 1, 1, 2), IMAGE),
        "FULLY_CONNECTED": (_ROW, (4, 4), (2, 4)),
        "TRANSPOSE_CONV": (IMAGE, (4, 1, 1, 2), (1, 4, 4, 4)),
        "CONV_3D": ((1, 2, 2, 2, 2), (1, 1, 1, 2, 4), (1, 2, 2, 2, 4)),
        "CONV_3D_TRANSPOSE": ((1, 2, 2, 2, 2), (1, 1, 1, 4, 2), (1, 2, 2, 2, 4)),
    }
    shape, filters, made = shapes[name]
    count = made[-1]
    by_channel = activation in ("int8", "int16") and name != "FULLY_CONNECTED"
    if dtype == "float32×int8" and name != "FULLY_CONNECTED":
        by_channel = True
    channels = count if by_channel and stored != "uint8" else 1
    kernel = weights(filters, stored, channels)
    if name == "DEPTHWISE_CONV_2D" and channels > 1:
        kernel = Operand(filters, stored, 3, (0.1,) * channels, 0, quantized_dimension=3)
    bias_dtype = {"int8": "int32", "uint8": "int32", "int16": "int64"}.get(activation, activation)
    bias = Operand((count,), bias_dtype, 0)
    if activation in ("int8", "uint8", "int16") and not plain:
        bias = Operand((count,), bias_dtype, 0, (0.01,) * channels, 0)
    fed = data(shape, activation, plain)
    result = data(made, activation, plain)
    ones = {"strideH": 1, "strideW": 1}
    if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        options = {**ones, "dilationHFactor": 1, "dilationWFactor": 1}
        if name == "DEPTHWISE_CONV_2D":
            options["depthMultiplier"] = 1
        return OneOp(name, [fed, kernel, bias], [result], options, version=3)
    if name == "FULLY_CONNECTED":
        return OneOp(name, [fed, kernel, bias], [result], version=4)
    if name == "TRANSPOSE_CONV":
        return OneOp(name, [ints(*made), kernel, fed, bias], [result], ones, version=3)
    options = {**ones, "strideD": 1, "dilationDFactor": 1}
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}
    if name == "CONV_3D":
        return OneOp(name, [fed, kernel, bias], [result], options)
    return OneOp(name, [ints(*made), kernel, fed, bias], [result], options)


def _split(dtype: str) -> tuple[str, str]:
    """Dtypes of activations and of weights."""
    if "×" in dtype:
        activation, stored = dtype.split("×")
        return activation, stored
    return dtype, {"int16": "int8"}.get(dtype, dtype)


def _matmul(name: str, dtype: str, image: Image, index: str) -> OneOp:
    activation, stored = _split(dtype)
    left, right = data(_ROW, activation), data((4, 4), activation)
    if "×" in dtype:
        right = weights((4, 4), stored)
    elif not image().scales:
        left, right = Operand(_ROW, activation), Operand((4, 4), activation)
    return OneOp(name, [left, right], [data(_ROW, activation, not image().scales)])


def _svdf(name: str, dtype: str, image: Image, index: str) -> OneOp:
    activation, stored = _split(dtype)
    plain = not image().scales
    state = {"int8": "int16"}.get(activation, activation)
    time = {"int8": "int16"}.get(activation, stored)
    bias = {"int8": "int32", "int16": "int32", "uint8": "int32"}.get(activation, activation)
    return OneOp(
        name,
        [
            data((1, 4), activation, plain),
            weights((2, 4), stored),
            weights((2, 3), time, scale=0.1),
            Operand((2,), bias, 0, (0.01,) if bias != activation else (), 0),
            Operand((1, 6), state, None, (0.1,) if state != "float32" else (), 0, variable=True),
        ],
        [data((1, 2), activation, plain)],
        {"rank": 1, "fusedActivationFunction": int(activation == "int8")},
        version=3,
    )


def _lstm(name: str, dtype: str, image: Image, index: str) -> OneOp:
    activation, stored = _split(dtype)
    plain, both = not image().scales, name.startswith("BI")
    cell = {"int8": "int16", "int16": "int16"}.get(activation, activation)
    bias = {"int8": "int32", "int16": "int64"}.get(activation, activation)
    bias_scale = () if bias == activation else (0.01,)
    fed = data((1, 3, 2) if name != "LSTM" else (1, 2), activation, plain)
    inputs = [weights((4, 2), stored)] * 4
    recurrent = [weights((4, 4), stored)] * 4
    biases = [Operand((4,), bias, 0, bias_scale, 0)] * 4
    scale = (2**-11,) if cell == "int16" else ()
    state = data((1, 4), activation, plain)
    states = [
        Operand((1, 4), activation, None, state.scales, state.zero_point, variable=True),
        Operand((1, 4), cell, None, scale, 0, variable=True),
    ]
    one = [*inputs, *recurrent, None, None, None, *biases, None, None]
    made = data((1, 3, 4) if name != "LSTM" else (1, 4), activation, plain)
    options = {"cellClip": 0.0, "projClip": 0.0, "fusedActivationFunction": 4}
    if both:
        options |= {"mergeOutputs": False, "timeMajor": False}
        return OneOp(name, [fed, *one, *one, *states, *states, *[None] * 9], [made, made], options)
    tail = [None] * 4
    between = []
    if activation in ("int8", "int16") and not plain:
        between = [Operand((0,), "int16", None, (2**-12,))] * 4
        between.append(Operand((0,), activation, None, state.scales, state.zero_point))
    fed_in = [fed, *one, *states, *tail]
    return OneOp(name, fed_in, [made], options, version=3, intermediates=between)


def _rnn(name: str, dtype: str, image: Image, index: str) -> OneOp:
    activation, stored = _split(dtype)
    plain, sequence = not image().scales, "SEQUENCE" in name
    shape, made = ((1, 3, 2), (1, 3, 4)) if sequence else ((1, 2), (1, 4))
    state = Operand((1, 4), activation, variable=True)
    one = [weights((4, 2), stored), weights((4, 4), stored), Operand((4,), activation, 0), state]
    fed, result = data(shape, activation, plain), data(made, activation, plain)
    if name.startswith("BI"):
        tail = [None] * 3
        return OneOp(name, [fed, *one, *one, *tail], [result, result], {"mergeOutputs": False})
    return OneOp(name, [fed, *one], [result], version=2)


def _embedding(name: str, dtype: str, image: Image, index: str) -> OneOp:
    result, stored = _split(dtype)
    ids = Operand((2,), index)
    if "×" in dtype:
        return OneOp(name, [ids, weights((4, 4), stored)], [Operand(_ROW, result)], version=2)
    plain = not image().scales
    table = Operand((4, 4), dtype, 0, () if plain else (0.1,), 128 * (dtype == "uint8"))
    return OneOp(name, [ids, table], [data(_ROW, dtype, plain)], version=3)


def _arg_max(name: str, dtype: str, image: Image, index: str) -> OneOp:
    kinds = {"int32": schema.TensorType.INT32, "int64": schema.TensorType.INT64}
    axis = Operand((), "int32", 1)
    return OneOp(name, [image(_ROW), axis], [Operand((2,), index)], {"outputType": kinds[index]})


def _simple(*inputs, out=IMAGE, version=1, **options) -> Callable[[str, str, Image, str], OneOp]:
    """An op of data, then constants; each may depend on `image` and `index`."""

    def make(name: str, dtype: str, image: Image, index: str) -> OneOp:
        operands = [item(image, index) if callable(item) else item for item in inputs]
        results = out if isinstance(out, list) else [out]
        made = [image(r) if isinstance(r, tuple) else _with_index(r, index) for r in results]
        return OneOp(name, operands, made, options, version)

    return make


def _with_index(result, index: str) -> Operand:
    return result(index) if callable(result) else result


def _x(image: Image, index: str) -> Operand:
    return image()


def _row(image: Image, index: str) -> Operand:
    return image(_ROW)


def _list(*values: int) -> Callable[[Image, str], Operand]:
    return lambda image, index: ints(*values, dtype=index)


def _table(*rows: tuple[int, ...]) -> Callable[[Image, str], Operand]:
    return lambda image, index: Operand((len(rows), len(rows[0])), index, rows)


def _scalar(value: int, dtype: str = "") -> Callable[[Image, str], Operand]:
    return lambda image, index: Operand((), dtype or index, value)


def _condition(image: Image, index: str) -> Operand:
    return Operand(IMAGE, "bool")


def _one(image: Image, index: str) -> Operand:
    like = image(())
    return Operand((), like.dtype, 1, like.scales, like.zero_point)


_PADS = _table((0, 0), (1, 1), (1, 1), (0, 0))
_PADDED = (1, 6, 6, 2)
_MADE: dict[str, Callable[[str, str, Image, str], OneOp]] = {
    **dict.fromkeys(
        (
            "CONV_2D",
            "DEPTHWISE_CONV_2D",
            "FULLY_CONNECTED",
            "TRANSPOSE_CONV",
            "CONV_3D",
            "CONV_3D_TRANSPOSE",
        ),
        _weighted,
    ),
    "BATCH_MATMUL": _matmul,
    "SVDF": _svdf,
    **dict.fromkeys(("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"), _lstm),
    **dict.fromkeys(("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"), _rnn),
    "EMBEDDING_LOOKUP": _embedding,
    "CAST": _simple(_x),
    "QUANTIZE": _simple(_x),
    "DEQUANTIZE": _simple(_x),
    "BITCAST": _simple(_x),
    "FAKE_QUANT": _simple(_x, min=-1.0, max=1.0, numBits=8),
    "LOCAL_RESPONSE_NORMALIZATION": _simple(_x, radius=1, bias=1.0, alpha=1.0, beta=0.5),
    "RESHAPE": _simple(_x, _list(2, 16), out=(2, 16)),
    "SQUEEZE": _simple(_x, out=(4, 4, 2), squeezeDims=[0]),
    "EXPAND_DIMS": _simple(_x, _scalar(0), out=(1, *IMAGE)),
    "TRANSPOSE": _simple(_x, _list(0, 2, 1, 3)),
    "PAD": _simple(_x, _PADS, out=_PADDED),
    "PADV2": _simple(_x, _PADS, _one, out=_PADDED),
    "MIRROR_PAD": _simple(_x, _PADS, out=_PADDED, mode=0),
    "SLICE": _simple(_x, _list(0, 1, 1, 0), _list(1, 2, 2, 2), out=_HALF),
    "STRIDED_SLICE": _simple(
        _x, _list(0, 0, 0, 0), _list(1, 4, 4, 2), _list(1, 2, 2, 1), out=_HALF
    ),
    "SPLIT": _simple(_scalar(3, "int32"), _x, out=[(1, 4, 4, 1)] * 2, numSplits=2),
    "SPLIT_V": _simple(_x, _list(1, 1), _scalar(3, "int32"), out=[(1, 4, 4, 1)] * 2, numSplits=2),
    "CONCATENATION": _simple(_x, _x, out=(1, 4, 4, 4), axis=3),
    "PACK": _simple(_x, _x, out=(2, *IMAGE), valuesCount=2, axis=0),
    "UNPACK": _simple(_x, out=[(1, 4, 4)] * 2, num=2, axis=3),
    "GATHER": _simple(_row, lambda image, index: Operand((1,), index), out=(1, 4), axis=0),
    "GATHER_ND": _simple(_row, lambda image, index: Operand((1, 1), index), out=(1, 4)),
    "TILE": _simple(_row, _list(1, 2), out=(2, 8)),
    "BROADCAST_TO": _simple(lambda image, index: image((1, 4)), _list(2, 4), out=_ROW, version=2),
    "REVERSE_V2": _simple(_x, ints(1)),
    "SPACE_TO_DEPTH": _simple(_x, out=(1, 2, 2, 8), blockSize=2),
    "DEPTH_TO_SPACE": _simple(
        lambda image, index: image((1, 2, 2, 8)), out=(1, 4, 4, 2), blockSize=2
    ),
    "SPACE_TO_BATCH_ND": _simple(_x, ints(2, 2), Operand((2, 2), "int32", 0), out=(4, 2, 2, 2)),
    "BATCH_TO_SPACE_ND": _simple(
        lambda image, index: image((4, 2, 2, 2)), ints(2, 2), Operand((2, 2), "int32", 0)
    ),
    "RESIZE_BILINEAR": _simple(_x, ints(8, 8), out=(1, 8, 8, 2)),
    "RESIZE_NEAREST_NEIGHBOR": _simple(_x, ints(8, 8), out=(1, 8, 8, 2)),
    "PRELU": _simple(_x, lambda image, index: _alpha(image)),
    "FILL": _simple(_list(2, 4), lambda image, index: image(()), out=_ROW),
    "SHAPE": _simple(_x, out=[Operand((4,), "int32")], outType=2),
    "RANK": _simple(_x, out=[Operand((), "int32")]),
    "RANGE": _simple(*[lambda image, index: _one(image, index)] * 3, out=(0,)),
    "ONE_HOT": _simple(
        lambda image, index: Operand((2,), index),
        _scalar(4, "int32"),
        _one,
        _one,
        out=_ROW,
        axis=-1,
    ),
    "SELECT": _simple(_condition, _x, _x),
    "SELECT_V2": _simple(_condition, _x, _x),
    "WHERE": _simple(_row, out=[Operand((8, 2), "int64")]),
    "ARG_MAX": _arg_max,
    "ARG_MIN": _arg_max,
    "TOPK_V2": _simple(_row, _scalar(2, "int32"), out=[(2, 2), Operand((2, 2), "int32")]),
    "CUMSUM": _simple(_x, _scalar(1, "int32")),
    "DYNAMIC_UPDATE_SLICE": _simple(_row, lambda image, index: image((1, 4)), ints(0, 0), out=_ROW),
    "SCATTER_ND": _simple(
        lambda image, index: Operand((1, 1), index),
        lambda image, index: image((1, 4)),
        _list(2, 4),
        out=_ROW,
    ),
    "REVERSE_SEQUENCE": _simple(
        _row, lambda image, index: Operand((2,), index), out=_ROW, seqDim=1, batchDim=0
    ),
    "MATRIX_DIAG": _simple(_row, out=(2, 4, 4)),
    "MATRIX_SET_DIAG": _simple(
        lambda image, index: image((4, 4)), lambda image, index: image((4,)), out=(4, 4)
    ),
    "UNIQUE": _simple(lambda image, index: image((4,)), out=[(4,), Operand((4,), "int32")]),
    "SPARSE_TO_DENSE": _simple(
        lambda image, index: Operand((1, 1), index),
        _list(4),
        lambda image, index: image((1,)),
        _one,
        out=(4,),
    ),
    "BUCKETIZE": _simple(_row, out=[Operand(_ROW, "int32")], boundaries=[1.0]),
    "BROADCAST_ARGS": _simple(
        lambda image, index: image((2,)), lambda image, index: image((2,)), out=(2,)
    ),
    "NON_MAX_SUPPRESSION_V4": _simple(
        *[lambda image, index: image((2, 4)), lambda image, index: image((2,))],
        Operand((), "int32", 2),
        Operand((), "float32", 0.5),
        Operand((), "float32", 0.1),
        out=[Operand((2,), "int32"), Operand((), "int32")],
    ),
    "NON_MAX_SUPPRESSION_V5": _simple(
        *[lambda image, index: image((2, 4)), lambda image, index: image((2,))],
        Operand((), "int32", 2),
        Operand((), "float32", 0.5),
        Operand((), "float32", 0.1),
        Operand((), "float32", 0.0),
        out=[Operand((2,), "int32"), Operand((2,), "float32"), Operand((), "int32")],
    ),
    "RANDOM_UNIFORM": _simple(ints(2, 4), out=_ROW),
    "RANDOM_STANDARD_NORMAL": _simple(ints(2, 4), out=_ROW),
    "MULTINOMIAL": _simple(
        lambda image, index: image((1, 4)), Operand((), "int32", 2), out=[Operand((1, 2), "int64")]
    ),
}


def _alpha(image: Image) -> Operand:
    like = image((1, 1, 2))
    return Operand((1, 1, 2), like.dtype, 1, like.scales, like.zero_point)
