"""What a program does to its data before the model: `(x − mean) / std`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.metadata import Metadata
from converters.packaging.ports import Port, Ports

Numbers = float | Sequence[float]


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation, one for all channels or one per channel.

    Attributes:
        mean: What is subtracted.
        std: What is divided by then.
        source: Who says so.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str = "given when it was packaged"


def said_normalizations(ports: Ports, metadata: Metadata) -> dict[str, Normalization]:
    """`{input name: Normalization}` of the inputs for which the file's metadata say one."""
    found = {}
    for port, said in zip(ports.inputs, metadata.inputs, strict=False):
        channels = port.shape[-1] if port.shape else 1
        pair = (said.mean or (), said.std or ())
        fits = all(len(v) in (1, channels) and np.isfinite(v).all() for v in pair)
        if fits and min(pair[1]) > 0:
            found[port.name] = Normalization(*pair, "in the file's metadata")
    return found


def given_normalizations(
    ports: Ports,
    normalization: tuple[Numbers, Numbers] | Mapping[str, tuple[Numbers, Numbers]] | None,
) -> dict[str, Normalization]:
    """`{input name: Normalization}` of the inputs for which one is given.

    Args:
        ports: Of the model.
        normalization: `(mean, std)`, or `{input name: (mean, std)}`, numbers or one per channel.

    Raises:
        ValueError: Not numbers, not as many as channels, a deviation that is not above zero,
            an unknown input, or one pair for several inputs.
    """
    if normalization is None:
        return {}
    real = {p.name: p for p in ports.inputs if p.scale is not None or p.integers is None}
    if not isinstance(normalization, Mapping):
        if len(real) != 1:
            raise ValueError(
                f"`normalization` must be {{input name: (mean, std)}} for a model with "
                f"{len(real)} inputs of real values: {list(real)}. Received: {normalization!r}"
            )
        normalization = {next(iter(real)): normalization}
    unknown = [name for name in normalization if name not in real]
    if unknown:
        raise ValueError(
            f"`normalization` names {unknown}; the inputs of real values are {list(real)}"
        )
    return {name: _check(real[name], pair) for name, pair in normalization.items()}


def _check(port: Port, pair: tuple[Numbers, Numbers]) -> Normalization:
    try:
        mean, std = (tuple(np.atleast_1d(np.asarray(v, float)).tolist()) for v in pair)
    except (TypeError, ValueError):
        raise ValueError(f"`normalization` must be (mean, std). Received: {pair!r}") from None
    channels = port.shape[-1] if port.shape else 1
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels) or not np.isfinite(values).all():
            raise ValueError(
                f"`{name}` must be one number or one for each of the {channels} channels of input "
                f"{port.name!r}. Received: {name}={list(values)}"
            )
    if min(std) <= 0:
        raise ValueError(f"`std` must be above 0. Received: std={list(std)}")
    for name, values in (("mean", mean), ("std", std)):
        _check_float32(name, values)
    return Normalization(mean, std)


def _check_float32(name: str, values: Sequence[float]) -> None:
    """Refuse what is 0 or infinite as the float32 that files and programs hold it as."""
    least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    for value in values:
        if value and not least <= abs(value) <= most:
            raise ValueError(
                f"`{name}` must be between {least:.3g} and {most:.3g}, what a float32 "
                f"holds, since models and apps store it as one. Received: {name}={value:g}. "
                "Normalize with other units"
            )
