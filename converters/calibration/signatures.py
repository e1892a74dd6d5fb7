"""Calibration samples of a file with several signatures: which signature has which."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.model_info import ModelInfo
from converters.samples import load_samples

Inputs = Mapping[str, tuple]  # `{input name: shape with batch}`


@dataclass(frozen=True)
class SameAs:
    """In place of samples: those of another signature, whose inputs are the same."""

    signature: str


class MissingSamplesError(ValueError):
    """Some signatures have no samples.

    Attributes:
        signatures: Their keys.
    """

    def __init__(self, missing: Mapping[str, Inputs], known: list[str]):
        self.signatures = list(missing)
        named = ", ".join(f"{key!r}: samples" for key in known)
        takes = "; ".join(f"{key!r} takes {_takes(inputs)}" for key, inputs in missing.items())
        several = "s" if len(missing) > 1 else ""
        super().__init__(
            f"`calibration` has no samples for signature{several} "
            f"{', '.join(map(repr, missing))}: pass a dict by signature, {{{named}}}, with None in "
            f"place of samples for one that is to stay float32. {takes}"
        )


def computes_floats(model: ModelInfo) -> bool:
    """Whether there is something to quantize in what a signature runs, as not in a tokenizer."""
    return any(t.dtype == "float32" for op in model.ops for t in op.output_tensors)


def samples_by_signature(
    data: Any, signatures: Mapping[str, Inputs], unasked: Collection[str] = ()
) -> dict[str, Any]:
    """`{signature: its samples}` of a file, in the order in which they are to be run.

    A dict by signature says it itself. Of a dict by input name, or the `.npz` file of one, each
    signature has the arrays of its inputs. Anything else belongs to the default signature, or the
    first that takes something where that does not. Signatures that are left have the samples of
    one whose inputs have the same names and shapes; one without inputs needs none.

    Example:
        >>> samples_by_signature({"encode": x, "decode": None}, signatures)
        {'encode': x, 'decode': None}

    Args:
        data: What `convert` takes as `calibration`.
        signatures: `{key: inputs}`, the default signature first.
        unasked: Signatures that compute no floats, which stay as they are. Defaults to none.

    Returns:
        The samples as they were given; None for a signature that is to stay float32; `SameAs` for
        one with those of another.

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
        takes = [key for key in keys if signatures[key] and key not in unasked]
        first, names = next(iter(takes), keys[0]), set(data) if isinstance(data, Mapping) else set()
        found = {key: data for key in takes if key == first or set(signatures[key]) <= names}
    found |= {key: {} for key in keys if not signatures[key] and key not in found}
    found |= {key: None for key in unasked if key not in found}
    given = {key: signatures[key] for key, samples in found.items() if samples is not None}
    left = [key for key in keys if key not in found]
    alike = {key: [k for k, inputs in given.items() if inputs == signatures[key]] for key in left}
    missing = {key: signatures[key] for key, others in alike.items() if not others}
    if missing:
        raise MissingSamplesError(missing, keys)
    return {**found, **{key: SameAs(others[0]) for key, others in alike.items()}}


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


def _is_by_signature(data: Mapping, signatures: Mapping[str, Inputs]) -> bool:
    inputs = {name for each in signatures.values() for name in each}
    return any(key in signatures for key in data) and not set(data) <= inputs


def _takes(inputs: Inputs) -> str:
    return ", ".join(
        f"{name} ({', '.join(['samples', *map(str, shape[1:])])})" if shape else f"{name} ()"
        for name, shape in inputs.items()
    )
