"""Calibration samples of a file with several signatures: which signature has which."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.model_info import ModelInfo
from converters.samples import load_samples

Shapes = Mapping[str, tuple]  # `{name: shape with batch}`


@dataclass(frozen=True)
class Calls:
    """What a signature takes and gives.

    Attributes:
        inputs: `{name: shape with batch}`.
        outputs: As `inputs`.
        floats: Whether it computes floats, which can be quantized; a tokenizer does not.
    """

    inputs: Shapes
    outputs: Shapes
    floats: bool = True


def calls_of(model: ModelInfo) -> Calls:
    """What the signature of a model takes and gives."""
    inputs, outputs = (
        {name: tensor.shape for name, tensor in side.items()}
        for side in (model.inputs, model.outputs)
    )
    computed = (tensor for op in model.ops for tensor in op.output_tensors)
    return Calls(inputs, outputs, any(tensor.dtype == "float32" for tensor in computed))


@dataclass(frozen=True)
class SameAs:
    """In place of samples: those of another signature, whose inputs are the same."""

    signature: str


@dataclass(frozen=True)
class OutputsOf:
    """In place of samples: what another signature gives under the names of the inputs."""

    signature: str


class MissingSamplesError(ValueError):
    """Some signatures have no samples.

    Attributes:
        signatures: Their keys.
    """

    def __init__(self, missing: Mapping[str, Shapes], known: list[str]):
        self.signatures = list(missing)
        named = ", ".join(f"{key!r}: samples" for key in known)
        takes = "; ".join(f"{key!r} takes {_takes(inputs)}" for key, inputs in missing.items())
        several = "s" if len(missing) > 1 else ""
        super().__init__(
            f"`calibration` has no samples for signature{several} "
            f"{', '.join(map(repr, missing))}: pass a dict by signature, {{{named}}}, with None in "
            f"place of samples for one that is to stay float32. {takes}"
        )


def samples_by_signature(data: Any, signatures: Mapping[str, Calls]) -> dict[str, Any]:
    """`{signature: its samples}` of a file, in the order in which they are to be run.

    A dict by signature says it itself. Of a dict by input name, or the `.npz` file of one, each
    signature has the arrays of its inputs. Anything else belongs to the default signature, or the
    first that takes something where that does not. Signatures that are left have the samples of
    one whose inputs have the same names and shapes, or what one gives whose outputs have: a
    decoder, the codes of its encoder. One without inputs needs none.

    Example:
        >>> samples_by_signature({"encode": x, "decode": None}, signatures)
        {'encode': x, 'decode': None}

    Args:
        data: What `convert` takes as `calibration`.
        signatures: `{key: what it takes and gives}`, the default signature first.

    Returns:
        The samples as they were given; None for a signature that stays float32 or computes no
        floats; `SameAs` or `OutputsOf` for one with those of another, which is before it.

    Raises:
        MissingSamplesError: A signature has none.
        ValueError: A key that is no signature's, or every signature is to stay float32.
    """
    keys = list(signatures)
    if len(keys) > 1 and isinstance(data, (str, os.PathLike)) and Path(data).suffix == ".npz":
        data = load_samples(data)
    if isinstance(data, Mapping) and _is_by_signature(data, signatures):
        _check_keys(data, keys)
        found = dict(data)
    else:
        takes = [key for key in keys if signatures[key].inputs and signatures[key].floats]
        first, names = next(iter(takes), keys[0]), set(data) if isinstance(data, Mapping) else set()
        served = (key for key in takes if key == first or set(signatures[key].inputs) <= names)
        found = dict.fromkeys(served, data)
    for key, calls in signatures.items():
        if key not in found and not (calls.inputs and calls.floats):
            found[key] = {} if calls.floats else None
    while True:
        left = [key for key in keys if key not in found]
        derived = {key: way for key in left if (way := _derived(key, found, signatures))}
        if not derived:
            break
        found |= derived
    if left:
        raise MissingSamplesError({key: signatures[key].inputs for key in left}, keys)
    return found


def _derived(
    key: str, found: Mapping, signatures: Mapping[str, Calls]
) -> SameAs | OutputsOf | None:
    """Whose samples or outputs a signature can be calibrated with."""
    wanted = dict(signatures[key].inputs)
    known = [other for other, samples in found.items() if samples is not None]
    for other in known:
        if dict(signatures[other].inputs) == wanted:
            return SameAs(other)
    for other in known:
        if wanted.items() <= dict(signatures[other].outputs).items():
            return OutputsOf(other)
    return None


def _check_keys(data: Mapping, keys: list[str]) -> None:
    """Refuse a dict by signature with other keys, or without any samples."""
    unknown = [key for key in data if key not in keys]
    if unknown:
        raise ValueError(
            f"`calibration` names {', '.join(map(repr, unknown))} beside signatures: the file "
            f"has {', '.join(map(repr, keys))}"
        )
    if all(samples is None for samples in data.values()):
        raise ValueError(
            "`calibration` leaves every signature in float32: pass samples for one at least, "
            "or convert to float32"
        )


def _is_by_signature(data: Mapping, signatures: Mapping[str, Calls]) -> bool:
    inputs = {name for each in signatures.values() for name in each.inputs}
    return any(key in signatures for key in data) and not set(data) <= inputs


def _takes(inputs: Shapes) -> str:
    return ", ".join(
        f"{name} ({', '.join(['samples', *map(str, shape[1:])])})" if shape else f"{name} ()"
        for name, shape in inputs.items()
    )
