"""The ranges of a float flatbuffer's tensors, from one pass over samples."""

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from converters.calibration.estimators import ESTIMATORS, MinMax
from converters.calibration.outputs import with_all_outputs
from converters.errors import ConversionError
from converters.loaded_signature import LoadedSignature
from converters.model_info import ModelInfo, TensorInfo
from converters.reader import read_model

# More at a time fall out of the processor cache.
BATCH = 8
THREADS = 2
# What ops of these names, or tensors that are variables, remember from run to run.
_STATE = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")

Ranges = dict[int, tuple[float, float]]
Samples = Mapping[str, np.ndarray]


def measure_ranges(
    content: bytes,
    samples: Samples,
    estimator: str | Mapping[str, str] = "minmax",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Ranges:
    """`{tensor: (smallest, largest)}` of every float tensor the default signature computes.

    Args:
        content: A float `.tflite`.
        samples: `{input name: (samples, ...)}`.
        estimator: Name out of `ESTIMATORS`, or `{regex on tensor names: name}`, where what
            matches none is `minmax`. Defaults to `"minmax"`.
        progress: Called with the number of samples done and of all.

    Raises:
        ConversionError: A tensor is NaN or infinite on some sample; LiteRT cannot run the file.
    """
    return next(iter(measure_signatures(content, {None: samples}, estimator, progress).values()))


def measure_signatures(
    content: bytes,
    samples: Mapping[str | None, Samples],
    estimator: str | Mapping[str, str] = "minmax",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[int, Ranges]:
    """`{subgraph: {tensor: (smallest, largest)}}` of what some signatures compute.

    Where the file has variables, signatures run in turns in the order given, a sample of each, so
    that all see what the others leave in them.

    Args:
        content: As in `measure_ranges`.
        samples: `{signature: {input name: (samples, ...)}}`, None for the default signature.
        estimator: As in `measure_ranges`. Defaults to `"minmax"`.
        progress: As in `measure_ranges`.

    Raises:
        ConversionError: As in `measure_ranges`.
    """
    models = {key: read_model(content, key) for key in samples}
    _check_matches(estimator, [t.name for model in models.values() for t in _computed(model)])
    found: dict[int, dict[int, MinMax]] = {}
    done, total = 0, sum(map(_count, samples.values()))
    for key, runner, watched, start, step in _turns(content, models, samples):
        _feed(runner, samples[key], start, step)
        chosen = found.setdefault(models[key].subgraph, {})
        for detail in watched:
            if detail["index"] not in chosen:
                chosen[detail["index"]] = ESTIMATORS[_name(estimator, detail["name"])]()
            if not _follow(runner, detail, chosen[detail["index"]]):
                raise ConversionError(
                    f"tensor {detail['name']!r} is NaN or infinite on a calibration sample "
                    f"between {start} and {start + step - 1}"
                )
        done = min(done + step, total)
        progress(done, total)
    return {
        subgraph: {index: estimate.range() for index, estimate in chosen.items()}
        for subgraph, chosen in found.items()
    }


def _turns(
    content: bytes, models: Mapping[str | None, ModelInfo], samples: Mapping[str | None, Samples]
) -> Iterator[tuple[str | None, LoadedSignature, list[dict], int, int]]:
    """`(signature, interpreter, tensors to watch, first sample, how many)` of each run."""
    if any(map(_keeps_state, models.values())):
        interpreter = _plain_interpreter(content)
        runners = {key: LoadedSignature(interpreter, key) for key in samples}
        turns, watched = [], {}
        for place, (key, runner) in enumerate(runners.items()):
            runner.allocate()
            watched[key] = _watched(runner, models[key])
            starts = _starts(_count(samples[key]), _batch(runner))
            # What takes no input, as a reset, has one turn, after the others.
            turns += [(not samples[key], start, place, key) for start in starts]
        for _, start, _, key in sorted(turns):
            yield key, runners[key], watched[key], start, _batch(runners[key])
        return
    for key, arrays in samples.items():
        runner, step = _interpreter_for(content, models[key], arrays)
        tensors = _watched(runner, models[key])
        for start in _starts(_count(arrays), step):
            yield key, runner, tensors, start, step
        del runner  # each takes memory for all signatures


def _starts(count: int, step: int) -> list[int]:
    """Where batches begin; the last takes some samples again."""
    return [min(start, count - step) for start in range(0, count, step)]


def _keeps_state(model: ModelInfo) -> bool:
    return any(op.name in _STATE for op in model.ops) or any(t.variable for t in model.tensors)


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


def _computed(model: ModelInfo) -> list[TensorInfo]:
    """The float tensors of its own subgraph that are computed or fed."""
    ops = [op for op in model.ops if op.subgraph == model.subgraph]
    tensors = [*model.graph_inputs, *(t for op in ops for t in op.output_tensors)]
    unique = {tensor.index: tensor for tensor in tensors if tensor.dtype == "float32"}
    return [unique[index] for index in sorted(unique)]


def _watched(runner: LoadedSignature, model: ModelInfo) -> list[dict]:
    """Details of those that the interpreter has."""
    computed = {tensor.index for tensor in _computed(model)}
    return [d for d in runner.tensor_details() if d["index"] in computed]


def _follow(runner: LoadedSignature, detail: dict, estimator: MinMax) -> bool:
    """Take in what the interpreter computed; whether it is finite."""
    values = np.atleast_1d(runner.view(detail))
    if values.size:
        estimator.update(values)
        return bool(np.isfinite(estimator.low) and np.isfinite(estimator.high))
    return True


def _feed(runner: LoadedSignature, samples: Samples, start: int, step: int) -> None:
    batch = {
        name: (x[start : start + step] if (x := samples[name]).ndim else x).astype(detail["dtype"])
        for name, detail in runner.inputs.items()
    }
    runner.feed(batch)
    runner.invoke()


def _interpreter_for(
    content: bytes, model: ModelInfo, samples: Samples
) -> tuple[LoadedSignature, int]:
    """The fastest interpreter that shows all tensors of the model, and the samples it takes.

    A faster one has to agree with the plain one on the first and last sample of a batch: shapes
    may be tied to a batch of one in some way.
    """
    key = model.signature.key if model.signature else None
    plain = LoadedSignature(_plain_interpreter(content), key)
    plain.allocate()
    batch = _batch(plain)
    if batch != 1:
        return plain, batch
    count = _count(samples)
    try:
        shown = with_all_outputs(content, model.subgraph)
        for step in sorted({min(BATCH, count), 1}, reverse=True):
            fast = _fast_interpreter(shown, key, step)
            if fast is not None and _agree(fast, plain, model, samples, step):
                return fast, step
    except (RuntimeError, ValueError):  # no such file, as of models with loops
        pass
    return plain, 1


def _count(samples: Samples) -> int:
    """How many samples there are; a single number goes into each."""
    return next((len(array) for array in samples.values() if array.ndim), 1)


def _batch(runner: LoadedSignature) -> int:
    """Samples in a run."""
    shapes = [detail["shape"] for detail in runner.inputs.values()]
    return next((int(shape[0]) for shape in shapes if len(shape)), 1)


def _plain_interpreter(content: bytes):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    return Interpreter(
        model_content=content,
        num_threads=THREADS,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )


def _fast_interpreter(shown: bytes, key: str | None, batch: int) -> LoadedSignature | None:
    """One with XNNPACK, which keeps nothing but outputs; None where it takes no such batch."""
    from ai_edge_litert.interpreter import Interpreter

    found = LoadedSignature(Interpreter(model_content=shown, num_threads=THREADS), key)
    try:
        ranked = {name: d["shape"] for name, d in found.inputs.items() if len(d["shape"])}
        found.allocate({name: (batch, *shape[1:]) for name, shape in ranked.items()})
    except RuntimeError:
        return None
    return found


def _agree(
    fast: LoadedSignature, plain: LoadedSignature, model: ModelInfo, samples: Samples, step: int
) -> bool:
    """Whether all tensors of both are the same for the first and last sample of a batch."""
    try:
        _feed(fast, samples, 0, step)
    except RuntimeError:
        return False
    watched = _watched(plain, model)
    for i in {0, step - 1}:
        _feed(plain, samples, i, 1)
        for detail in watched:
            alone = np.atleast_1d(plain.view(detail))  # views, gone before it runs
            batch = np.atleast_1d(fast.view(detail))
            if len(batch) != step * len(alone):
                return False
            batch = batch[i * len(alone) : (i + 1) * len(alone)]
            slack = 1e-4 * (np.ptp(alone) + 1e-6) if alone.size else 0
            if batch.shape != alone.shape or not np.allclose(batch, alone, 1e-3, slack):
                return False
            del alone, batch
    return True
