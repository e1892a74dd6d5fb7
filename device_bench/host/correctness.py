"""Whether a model gives the outputs it should, before its time is taken."""

import contextlib
from pathlib import Path

import numpy as np

from converters.checks import compare
from converters.child import ChildError, run_module
from device_bench.host.jobs import Case

# Below it more than a tenth of the outputs' energy is something else: these are not its outputs.
LEAST_DECIBEL = 10.0
_PATIENCE_FOR_REFERENCE = 60


def check_outputs(case: Case, timeout: float) -> dict:
    """Its outputs beside those of LiteRT's reference kernels, on four batches.

    Args:
        case: What is to be measured.
        timeout: Seconds after which its own run hangs.

    Returns:
        `decibel` and `agreement` by output, and `samples`; or `unchecked`, the reason why there
        was nothing to compare with.

    Raises:
        ChildError: It does not run, or its outputs are others.
    """
    found = _outputs(case, "own", timeout)
    if case.setting.kernels == "reference":
        return {"unchecked": "these are the reference kernels"}
    kept = case.folder.parent / f"reference_{case.setting.batch}.npz"
    try:
        if not kept.exists():
            changes = {"kernels": "reference", "runtime": "interpreter", "threads": 1}
            limit = max(_PATIENCE_FOR_REFERENCE, timeout)
            kept = _run(case, kept, limit, **changes)
        expected = _loaded(kept)
    except ChildError as error:
        return {"unchecked": f"reference kernels do not run it: {error}"}
    return _verdict(expected, found)


def accuracy(case: Case, samples: dict, labels: np.ndarray, timeout: float) -> float:
    """Share of the labels that it gets right.

    Args:
        case: What is to be measured.
        samples: All inputs, by name.
        labels: Class numbers.
        timeout: Seconds for all of it.

    Raises:
        ChildError: It does not run.
        ValueError: It has several outputs, or none with classes.
    """
    np.savez(case.folder / "all.npz", **samples)
    found = _loaded(_run(case, case.folder / "answers.npz", timeout, inputs="all.npz"))
    (values,) = found.values() if len(found) == 1 else [None]
    if values is None:
        raise ValueError("`labels` are for models with one output")
    values = values.reshape(len(values), -1)
    answers = values[:, 0] > 0.5 if values.shape[1] == 1 else values.argmax(1)
    return float(np.mean(answers[: len(labels)] == labels[: len(answers)]))


def _outputs(case: Case, name: str, timeout: float) -> dict:
    return _loaded(_run(case, case.folder / f"{name}.npz", timeout))


def _run(case: Case, out: Path, timeout: float, inputs: str = "compared.npz", **changes) -> Path:
    if case.job["inputs"]:
        changes["inputs"] = str(case.folder / inputs)
    job = case.write("outputs", out=str(out), **changes)
    run_module("device_bench.host.outputs", str(job), timeout=timeout)
    return out


def _loaded(path: Path) -> dict:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _verdict(expected: dict, found: dict) -> dict:
    for name, values in found.items():
        if np.all(np.isfinite(expected[name])) and not np.all(np.isfinite(values)):
            raise ChildError(f"output {name!r} is not finite, by reference kernels it is", "")
    with np.errstate(invalid="ignore", over="ignore"), contextlib.suppress(TypeError):
        check = compare(expected, found)
        name, decibel = check.worst
        if decibel < LEAST_DECIBEL:
            raise ChildError(
                f"output {name!r} is another than by reference kernels "
                f"({decibel:.0f} dB signal to noise)",
                "",
            )
    return {
        "samples": check.samples,
        "decibel": {n: v if np.isfinite(v) else None for n, v in check.decibel.items()},
        "agreement": check.agreement,
    }
