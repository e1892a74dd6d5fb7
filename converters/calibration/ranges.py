"""The ranges of a float flatbuffer's tensors, from one pass over samples."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from converters.calibration.estimators import ESTIMATORS, MinMax
from converters.errors import ConversionError

# More at a time fall out of the processor cache.
BATCH = 8


def measure_ranges(
    content: bytes,
    samples: Mapping[str, np.ndarray],
    estimator: str | Mapping[str, str] = "minmax",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, tuple[float, float]]:
    """`{tensor: (smallest, largest)}` of every float tensor the first subgraph computes.

    Args:
        content: A float `.tflite`.
        samples: `{input name: (samples, ...)}`.
        estimator: Name out of `ESTIMATORS`, or `{regex on tensor names: name}`, where what
            matches none is `minmax`. Defaults to `"minmax"`.
        progress: Called with the number of samples done and of all.

    Raises:
        ConversionError: A tensor is NaN or infinite on some sample; LiteRT cannot run the file.
    """
    from converters.flatbuffer import signature_details

    runner, step = _batched_interpreter(content, samples)
    inputs, _ = signature_details(runner)
    watched = _watched(runner)
    chosen = {d["index"]: ESTIMATORS[_name(estimator, d["name"])]() for d in watched}
    count = len(next(iter(samples.values())))
    for start in range(0, count - step + 1, step):
        _feed(runner, inputs, samples, start, step)
        for detail in watched:
            if not _follow(runner, detail, chosen[detail["index"]]):
                raise ConversionError(
                    f"tensor {detail['name']!r} is NaN or infinite on a calibration sample "
                    f"between {start} and {start + step - 1}"
                )
        progress(min(start + step, count), count)
    return {index: found.range() for index, found in chosen.items()}


def _name(estimator, tensor: str) -> str:
    if isinstance(estimator, str):
        return estimator
    found = (name for regex, name in estimator.items() if re.search(regex, tensor))
    return next(found, "minmax")


def _watched(interpreter) -> list[dict]:
    """Details of the float tensors that are computed or fed."""
    made = {int(i) for op in interpreter._get_ops_details() for i in op["outputs"]}
    made |= {d["index"] for d in interpreter.get_input_details()}
    details = interpreter.get_tensor_details()
    return [d for d in details if d["index"] in made and d["dtype"] == np.float32]


def _follow(interpreter, detail: dict, estimator: MinMax) -> bool:
    """Take in what the interpreter computed; whether it is finite."""
    values = np.atleast_1d(interpreter.tensor(detail["index"])())  # a view, not a copy
    if values.size:
        estimator.update(values)
        return bool(np.isfinite(estimator.low) and np.isfinite(estimator.high))
    return True


def _feed(interpreter, inputs, samples, start: int, step: int) -> None:
    for name, detail in inputs.items():
        batch = samples[name][start : start + step].astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], batch)
    interpreter.invoke()


def _batched_interpreter(content: bytes, samples: Mapping[str, np.ndarray]):
    """An interpreter that takes several samples at a time, if the model can, and how many.

    The first batch is run one by one too: where shapes are tied to a batch of one in some way,
    the figures differ.
    """
    from converters.flatbuffer import signature_details

    single = _interpreter(content)
    inputs, outputs = signature_details(single)
    own = next(iter(inputs.values()))["shape"][0]
    count = len(next(iter(samples.values())))
    step = min(BATCH, count)
    if own != 1 or step < 2:
        return single, int(own)
    try:
        several = _interpreter(_with_open_batch(content), step)
        _feed(several, signature_details(several)[0], samples, 0, step)
        found = [several.get_tensor(d["index"]) for d in signature_details(several)[1].values()]
        for i in (0, step - 1):
            _feed(single, inputs, samples, i, 1)
            for detail, batch in zip(outputs.values(), found, strict=True):
                alone = single.get_tensor(detail["index"])
                if batch.shape[0] != step or alone.shape != batch[i : i + 1].shape:
                    return single, 1
                np.testing.assert_allclose(
                    batch[i : i + 1], alone, rtol=1e-3, atol=1e-4 * (np.ptp(alone) + 1e-6)
                )
    except (RuntimeError, ValueError, AssertionError):
        return single, 1
    return several, step


def _interpreter(content: bytes, batch: int | None = None):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        num_threads=2,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    if batch is not None:
        for detail in interpreter.get_input_details():
            interpreter.resize_tensor_input(detail["index"], [batch, *detail["shape"][1:]])
    interpreter.allocate_tensors()
    return interpreter


def _with_open_batch(content: bytes) -> bytes:
    """The file with `RESHAPE`s to one sample made reshapes to as many as there are.

    Changed in place, so that each tensor keeps its index.
    """
    from ai_edge_litert import schema_py_generated as schema

    changed = bytearray(content)
    model = schema.Model.GetRootAs(changed, 0)
    graph = model.Subgraphs(0)
    shapes, others = set(), set()
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        reshape = schema.BuiltinOperator.RESHAPE in (
            code.BuiltinCode(),
            code.DeprecatedBuiltinCode(),
        )
        for slot in range(op.InputsLength()):
            if op.Inputs(slot) >= 0:
                buffer = graph.Tensors(op.Inputs(slot)).Buffer()
                (shapes if reshape and slot == 1 else others).add(buffer)
    for index in shapes - others:
        data = model.Buffers(index)
        shape = data.DataAsNumpy().view("<i4") if data.DataLength() else np.zeros(0)
        if len(shape) > 1 and shape[0] == 1 and (shape > 0).all():
            shape[0] = -1
    return bytes(changed)
