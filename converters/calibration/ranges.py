"""The ranges of a float flatbuffer's tensors, from one pass over samples."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from converters.calibration.estimators import ESTIMATORS, MinMax
from converters.calibration.outputs import with_all_outputs
from converters.errors import ConversionError
from converters.loaded_signature import signature_details

# More at a time fall out of the processor cache.
BATCH = 8
THREADS = 2


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
    runner, step = _interpreter_for(content, samples)
    watched, (inputs, _) = _watched(runner), signature_details(runner)
    _check_matches(estimator, [d["name"] for d in watched])
    chosen = {d["index"]: ESTIMATORS[_name(estimator, d["name"])]() for d in watched}
    count = len(next(iter(samples.values())))
    for start in range(0, count, step):
        start = min(start, count - step)  # the last batch takes some samples again
        _feed(runner, inputs, samples, start, step)
        for detail in watched:
            if not _follow(runner, detail, chosen[detail["index"]]):
                raise ConversionError(
                    f"tensor {detail['name']!r} is NaN or infinite on a calibration sample "
                    f"between {start} and {start + step - 1}"
                )
        progress(min(start + step, count), count)
    return {index: found.range() for index, found in chosen.items()}


def _check_matches(estimator, tensors: list[str]) -> None:
    for regex in estimator if isinstance(estimator, Mapping) else ():
        if not any(re.search(regex, tensor) for tensor in tensors):
            raise ConversionError(
                f"`estimator` holds {regex!r}, which matches no tensor. Their names are "
                f"{', '.join(tensors)}"
            )


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


def _interpreter_for(content: bytes, samples: Mapping[str, np.ndarray]):
    """The fastest interpreter that shows all tensors of the model, and the samples it takes.

    A faster one has to agree with the plain one on the first and last sample of a batch: shapes
    may be tied to a batch of one in some way.
    """
    plain = _plain_interpreter(content)
    batch = next(iter(signature_details(plain)[0].values()))["shape"][0]
    if batch != 1:
        return plain, int(batch)
    count = len(next(iter(samples.values())))
    try:
        shown = with_all_outputs(content)
        for step in sorted({min(BATCH, count), 1}, reverse=True):
            fast = _fast_interpreter(shown, step)
            if fast is not None and _agree(fast, plain, samples, step):
                return fast, step
    except (RuntimeError, ValueError):  # no such file, as of models with loops
        pass
    return plain, 1


def _plain_interpreter(content: bytes):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        num_threads=THREADS,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def _fast_interpreter(shown: bytes, batch: int):
    """One with XNNPACK, which keeps nothing but outputs; None where it takes no such batch."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=shown, num_threads=THREADS)
    try:
        for detail in interpreter.get_input_details():
            shape = [batch, *detail["shape"][1:]]
            interpreter.resize_tensor_input(detail["index"], shape)
        interpreter.allocate_tensors()
    except RuntimeError:
        return None
    return interpreter


def _agree(fast, plain, samples: Mapping[str, np.ndarray], step: int) -> bool:
    """Whether all tensors of both are the same for the first and last sample of a batch."""
    try:
        _feed(fast, signature_details(fast)[0], samples, 0, step)
    except RuntimeError:
        return False
    inputs, watched = signature_details(plain)[0], _watched(plain)
    for i in {0, step - 1}:
        _feed(plain, inputs, samples, i, 1)
        for detail in watched:
            alone = np.atleast_1d(plain.tensor(detail["index"])())  # views, gone before it runs
            batch = np.atleast_1d(fast.tensor(detail["index"])())
            if len(batch) != step * len(alone):
                return False
            batch = batch[i * len(alone) : (i + 1) * len(alone)]
            slack = 1e-4 * (np.ptp(alone) + 1e-6) if alone.size else 0
            if batch.shape != alone.shape or not np.allclose(batch, alone, 1e-3, slack):
                return False
            del alone, batch
    return True
