"""What is said of a converted file: refused where it is of no use, warned of where it lost."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.carried_states import coarse_state
from converters.checks import LEAST_CHANNEL_DECIBEL, Check, compare
from converters.errors import ConversionError, FailedCheckError
from converters.flatbuffer import Flatbuffer
from converters.formats import FORMATS
from converters.inspection import Inspection, inspect
from converters.reader import read_model, read_models
from converters.sparse_inference import SparseInference, sparse_inference
from converters.weights import FEWEST_ELEMENTS

# Below it, the noise of an output is a third of its size.
_LEAST_DECIBEL = 10.0
# What the order of additions costs in float32 is far above it.
_LEAST_FLOAT_DECIBEL = 40.0
# So many channels are named one by one.
_NAMED_CHANNELS = 8


def judged(
    name: str,
    content: bytes,
    check: Check,
    loops: list[str],
    sparse: bool,
    said: Sequence[str] = (),
    order: Sequence[str] | None = None,
    left: Collection[str] = (),
    recurrent: bool = False,
) -> Flatbuffer:
    """The file with its check and notes; warnings say aloud what it left or lost.

    Args:
        name: The format.
        content: The bytes of the file.
        check: How it compares with the model.
        loops: Names of the layers that were unrolled.
        sparse: Whether kernels were to be stored sparse.
        said: What was said aloud already, for the notes. Defaults to nothing.
        order: Names of the inputs in the model's order. Defaults to `None`: not known.
        left: Signatures that were to stay float32. Defaults to none.
        recurrent: Whether the model unrolls loops of its own accord. Defaults to `False`.

    Raises:
        FailedCheckError: The file answers NaN where the model does not.
        ConversionError: The format changed nothing.
    """
    flatbuffer = Flatbuffer(content, check)
    report, wanted = inspect(flatbuffer), FORMATS[name]
    if wanted.integer and not any(op.quantized for op in report.ops):
        raise ConversionError(f"{name}: every op stayed in float: {report.op_dtypes}")
    smaller = wanted.integer or wanted.weights == 32
    if not smaller and set(report.weight_dtypes) <= {"float32"}:
        raise ConversionError(
            f"{name}: no weight became smaller, the file is as large as float32 (kernels under "
            f"{FEWEST_ELEMENTS:,} elements are left alone); int8 quantises all"
        )
    for key, each in {None: check, **check.signatures}.items():
        refuse_broken(name, each, key)
    wider = "" if name == "int16x8" else ", or convert to int16x8"
    lost = _losses(name, check, wider)
    for key, each in check.signatures.items():
        lost += [f"signature {key!r}: {text}" for text in _losses(name, each, wider)]
    if wanted.integer and len(report.signatures) > 1:
        lost += _left_float(flatbuffer, left)
    in_loops = recurrent or bool(loops)
    if wanted.activations == 8 and (in_loops or any(op.name == "TANH" for op in report.ops)):
        lost += _carried(content, in_loops)
    if wanted.integer and report.float_islands:
        islands = ", ".join(f"{op.name} ({op.dtype})" for op in report.float_islands)
        warnings.warn(f"{name}: these ops stayed float: {islands}", stacklevel=3)
    for text in lost:
        warnings.warn(f"{name}: {text}", stacklevel=3)
    inference = sparse_inference(content) if sparse else None
    notes = (*said, *lost, *_notes(name, report, loops, inference))
    return Flatbuffer(content, replace(check, notes=notes), order)


def refuse_broken(name: str, check: Check, signature: str | None = None) -> None:
    """Refuse a file that answers NaN or infinity where the model answers numbers.

    Args:
        name: The format.
        check: How the file compares with the model.
        signature: Whose check it is. Defaults to `None`, the default one.

    Raises:
        FailedCheckError: It does.
    """
    of = "" if signature is None else f" of signature {signature!r}"
    for output, count in check.broken.items():
        raise FailedCheckError(
            f"{name}: output {output!r}{of} is NaN or infinite on {count} of {check.samples} "
            "samples where the model's is a number: the file is of no use. Convert to another "
            f"format{'' if name == 'float32' else ', float32 if need be'}"
        )


def rounded_away(before: Mapping[str, np.ndarray], rounded: Mapping[str, np.ndarray]) -> list[str]:
    """What drowns in the outputs of a quantization-aware model, which a file of it cannot show.

    Args:
        before: `{output: values}` before they are rounded, of outputs that are.
        rounded: The values as rounded, which are the file's.
    """
    # What random samples take beyond the ranges is clipped, and says nothing of steps.
    inside = {
        name: np.clip(values, rounded[name].min(), rounded[name].max())
        for name, values in before.items()
        if values.size
    }
    if not inside:
        return []
    check = compare({**inside, **_unclipped(before, rounded)}, rounded)
    return [*_vanished(check), *_lost(check, ", or train it for int16x8")]


def _unclipped(before: Mapping[str, np.ndarray], rounded: Mapping[str, np.ndarray]) -> dict:
    """The outputs that are rounded to zero throughout, as they were."""
    return {
        name: before[name]
        for name, values in rounded.items()
        if name in before and not values.any()
    }


def _losses(name: str, check: Check, wider: str) -> list[str]:
    lost = [*_far(name, check), *_lost(check, wider), *_uncompared(check)]
    return [*_vanished(check), *lost]


def _far(name: str, check: Check) -> list[str]:
    """The output that is farthest from the model's, if it is too far."""
    output, decibel = check.worst
    if name == "float32":
        if decibel >= _LEAST_FLOAT_DECIBEL:
            return []
        return [
            f"output {output!r} is not the model's, {decibel:.1f} dB of signal to noise: a layer "
            "of it keeps a state, or draws random numbers"
        ]
    if decibel >= _LEAST_DECIBEL or output in check.vanished:
        return []
    return [
        f"output {output!r} is far from the model's, {decibel:.1f} dB of signal to noise on "
        f"{check.samples} samples: quantisation-aware training (ek.quantize_aware), another "
        "`estimator` or int16x8 keep more"
    ]


def _vanished(check: Check) -> list[str]:
    """Outputs that are too small for the format."""
    return [
        f"output {output!r} is zero throughout: the model's values are {largest:.1g} at most, less "
        "than a step of the format can be. Let the model give it at an ordinary size, and scale it "
        "on the device"
        for output, largest in check.vanished.items()
    ]


def _lost(check: Check, wider: str) -> list[str]:
    """Outputs that are close as a whole and have channels that are noise."""
    found = []
    parts = [(output, _named(places)) for output, places in check.lost.items()]
    parts += [
        (output, f"{_named(places, 'place')} along axis {axis}")
        for output, (axis, places) in check.lost_along.items()
    ]
    for output, part in parts:
        decibel = check.decibel[output]
        if decibel < _LEAST_DECIBEL:
            continue  # all of it is said to be far
        verb = "is" if part.split()[0] in ("channel", "place") else "are"
        found.append(
            f"{part} of output {output!r} {verb} "
            f"mostly noise, under {LEAST_CHANNEL_DECIBEL:g} dB, while the output as a whole has "
            f"{decibel:.1f} dB: its parts differ in size and share one scale. Make each part an "
            f"output of its own, bring all to one size in the model{wider}"
        )
    return found


def _left_float(flatbuffer: Flatbuffer, left: Collection[str]) -> list[str]:
    """The signatures that compute in float as before, because they were to or have to."""
    found = []
    for key in flatbuffer.signatures:
        model = read_model(flatbuffer.content, key)
        tensors = [t for op in model.ops for t in op.output_tensors]
        if any(t.dtype.startswith("float") for t in tensors) and not any(t.scales for t in tensors):
            why = "as `calibration` has None for it" if key in left else "no op of it has a kernel"
            found.append(f"signature {key!r} stayed float32: {why}")
    return found


def _carried(content: bytes, unrolled: bool) -> list[str]:
    """A state that a recurrent layer carries in too few bits."""
    states = [coarse_state(model.ops, unrolled) for model in read_models(content)]
    found = [state for state in states if state is not None]
    if not found:
        return []
    reach, step = max(found, key=lambda state: state[1])
    return [
        f"a state that a recurrent layer carries from step to step reaches ±{reach:.3g} in steps "
        f"of {step:.2g}: 8 bits lose what a trained net keeps in it over many steps, which few "
        "samples may not show. Compare accuracies on your own data, or convert to int16x8"
    ]


def _named(channels: list[int], noun: str = "channel") -> str:
    """`channel 4`, `channels 4, 7`, `channels 4 to 83`, or how many of them."""
    if len(channels) == 1:
        return f"{noun} {channels[0]}"
    first, last = channels[0], channels[-1]
    if last - first == len(channels) - 1:
        return f"{noun}s {first} to {last}"
    if len(channels) <= _NAMED_CHANNELS:
        return f"{noun}s {', '.join(map(str, channels))}"
    return f"{len(channels)} {noun}s between {first} and {last}"


def _uncompared(check: Check) -> list[str]:
    """Outputs that are NaN in the model too."""
    return [
        f"the model's own output {output!r} is NaN or infinite on {count} of {check.samples} "
        "samples, where the file could not be compared with it"
        for output, count in check.uncompared.items()
    ]


def _notes(
    name: str, report: Inspection, loops: list[str], inference: SparseInference | None
) -> tuple[str, ...]:
    notes = []
    if loops and FORMATS[name].integer:
        notes.append(
            f"unrolled {', '.join(loops)} into one copy of the cell per step, as integer "
            "files have no loops here; the file grows with the steps"
        )
    floats = report.weight_dtypes.get("float32", 0)
    if not FORMATS[name].integer and FORMATS[name].weights < 16 and floats:
        notes.append(
            f"{floats} weight tensors stayed float32: under {FEWEST_ELEMENTS:,} elements, or no "
            "kernel takes them smaller"
        )
    whole = [op for op in report.ops if op.name == "DENSIFY"]
    if whole:
        stored = f"{len(whole)} kernels are stored sparse: microcontrollers cannot load them"
        dense = "XNNPACK makes them dense at load"
        reason = inference and inference.reason
        notes.append(f"{stored}; {dense}{f': {reason}' if reason else ' on x86 with AVX'}")
    elif inference and inference.harm:
        notes.append(
            "no kernel is stored sparse: where XNNPACK multiplies by such kernels, as on ARM, "
            f"the net would fail or be wrong: {inference.harm}"
        )
    elif inference:
        notes.append("no kernel is stored sparse: none is smaller so, or LiteRT would not run it")
    return tuple(notes)
