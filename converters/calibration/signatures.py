"""Calibration samples of a file with several signatures: which signature has which."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def samples_by_signature(data: Any, signatures: Mapping[str, Inputs]) -> dict[str, Any]:
    """`{signature: its samples}` of a file, in the order in which they are to be run.

    A dict by signature says it itself. Of a dict by input name, or the `.npz` file of one, each
    signature has the arrays of its inputs. Anything else belongs to the default signature.
    Signatures that are left have the samples of one whose inputs have the same names and shapes.

    Example:
        >>> samples_by_signature({"encode": x, "decode": None}, signatures)
        {'encode': x, 'decode': None}

    Args:
        data: What `convert` takes as `calibration`.
        signatures: `{key: inputs}`, the default signature first.

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
        unknown = [key for key in data if key not in signatures]
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
        found = dict(data)
    else:
        by_name = data if isinstance(data, Mapping) else {}
        found = {
            key: data for key in keys if key == keys[0] or set(signatures[key]) <= set(by_name)
        }
    missing = {}
    for key, inputs in signatures.items():
        if key not in found:
            alike = (
                k
                for k, samples in found.items()
                if dict(signatures[k]) == dict(inputs)
                and samples is not None
                and not isinstance(samples, SameAs)
            )
            source = next(alike, None)
            if source is None:
                missing[key] = inputs
            else:
                found[key] = SameAs(source)
    if missing:
        raise MissingSamplesError(missing, keys)
    return found


def _is_by_signature(data: Mapping, signatures: Mapping[str, Inputs]) -> bool:
    inputs = {name for each in signatures.values() for name in each}
    return any(key in signatures for key in data) and not set(data) <= inputs


def _takes(inputs: Inputs) -> str:
    return ", ".join(
        f"{name} ({', '.join(['samples', *map(str, shape[1:])])})" if shape else f"{name} ()"
        for name, shape in inputs.items()
    )
