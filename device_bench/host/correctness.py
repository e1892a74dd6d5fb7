"""Whether a model gives the outputs it should, before its time is taken."""

from pathlib import Path

import numpy as np

from converters.array_files import load_arrays, save_arrays
from converters.child import ChildError, run_module
from converters.signal_to_noise import signal_to_noise
from device_bench.host.jobs import Case

# Below it more than a tenth of the outputs' energy is something else: these are not its outputs.
LEAST_DECIBEL = 10.0
_PATIENCE_FOR_REFERENCE = 60
# Batches of random inputs after one on which outputs are others: on noise a classifier may be torn
# between two classes, which the last bit of a kernel then decides.
_MORE = 16


def check_outputs(case: Case, timeout: float) -> dict:
    """Its outputs beside those of LiteRT's reference kernels.

    On four batches of what was given, or on a random one; where that speaks against it, on more.

    Args:
        case: What is to be measured.
        timeout: Seconds after which its own run hangs.

    Returns:
        `decibel` and `agreement` by output, and `samples`; or `unchecked`, the reason why there
        was nothing to compare with.

    Raises:
        ChildError: It does not run, or its outputs are others.
    """
    try:
        return _compared(case, timeout, 1)
    except _OtherOutputs:
        if case.job["inputs"]:
            raise
        return _compared(case, timeout, _MORE)


class _OtherOutputs(ChildError):
    """They are far from those of the reference kernels."""


def _compared(case: Case, timeout: float, random: int) -> dict:
    found = load_arrays(_run(case, case.folder / "own.npz", timeout, random=random))
    if case.setting.kernels == "reference":
        return {"unchecked": "these are the reference kernels"}
    kept = case.folder.parent / f"reference_{case.setting.batch}_{random}.npz"
    refused = kept.with_suffix(".txt")
    if not kept.exists() and not refused.exists():
        changes = {"kernels": "reference", "runtime": "interpreter", "threads": 1}
        try:
            _run(case, kept, max(_PATIENCE_FOR_REFERENCE, timeout), random=random, **changes)
        except ChildError as error:
            refused.write_text(str(error))
    if refused.exists():
        return {"unchecked": f"reference kernels do not run it: {refused.read_text()}"}
    return _verdict(load_arrays(kept), found)


def accuracy(case: Case, samples: dict, labels: np.ndarray, timeout: float) -> float:
    """Share of the labels that it gets right.

    Args:
        case: What is to be measured; it has one output, of classes or of a probability.
        samples: All inputs, by name.
        labels: Class numbers.
        timeout: Seconds for all of it.

    Raises:
        ChildError: It does not run.
    """
    save_arrays(case.folder / "all.npz", samples)
    found = load_arrays(_run(case, case.folder / "answers.npz", timeout, inputs="all.npz"))
    (values,) = found.values()
    answers = values[:, 0] > 0.5 if values.shape[1] == 1 else values.argmax(1)
    return float(np.mean(answers[: len(labels)] == labels))


def _run(case: Case, out: Path, timeout: float, inputs: str = "compared.npz", **changes) -> Path:
    if case.job["inputs"]:
        changes["inputs"] = str(case.folder / inputs)
    changes.setdefault("random", 1)
    job = case.write("outputs", out=str(out), **changes)
    run_module("device_bench.host.outputs", str(job), timeout=timeout)
    return out


def _verdict(expected: dict, found: dict) -> dict:
    decibel, agreement, unchecked = {}, {}, []
    for name, values in found.items():
        reference = expected[name]
        if reference.shape != values.shape:
            raise ChildError(
                f"output {name!r} has shape {values.shape}, by reference kernels {reference.shape}",
                "",
            )
        if values.dtype.kind not in "fiub":
            unchecked.append(name)
            continue
        if np.any(np.isfinite(reference) & ~np.isfinite(values)):
            raise ChildError(f"output {name!r} is not finite, by reference kernels it is", "")
        ratio = signal_to_noise(reference, values)
        if not ratio >= LEAST_DECIBEL:
            raise _OtherOutputs(
                f"output {name!r} is another than by reference kernels "
                f"({ratio:.0f} dB signal to noise)",
                "",
            )
        decibel[name] = None if ratio == np.inf else ratio  # JSON has no infinity
        if values.ndim == 2 and values.shape[1] > 1:
            agreement[name] = float(np.mean(values.argmax(1) == reference.argmax(1)))
    samples = len(next(iter(found.values())))
    check = {"samples": samples, "decibel": decibel, "agreement": agreement}
    return check | ({"unchecked": f"no numbers: {', '.join(unchecked)}"} if unchecked else {})
