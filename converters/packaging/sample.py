"""Samples to run a packaged model on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.packaging.index_inputs import index_limits
from converters.packaging.ports import Port, Ports
from converters.samples import Samples

_TRIES = 6
# Of integers that stand for themselves: their dtype's range up to 16 bits, else and then so far.
_SPANS = (1000, 9, 1)


@dataclass(frozen=True)
class Values:
    """What goes into an input, or comes out of an output, in one run.

    Attributes:
        real: What they mean.
        stored: As the file holds them.
    """

    real: np.ndarray
    stored: np.ndarray


def one_sample(flatbuffer: Flatbuffer, ports: Ports, sample: Samples) -> dict[str, Values]:
    """`{input name: Values}` of one run.

    Args:
        flatbuffer: The model.
        ports: Its inputs and outputs.
        sample: As in `Flatbuffer.predict`, of which the first is taken.

    Raises:
        ValueError: Unusable samples.
    """
    arrays = flatbuffer.named_inputs(sample, "sample")
    found = {}
    for port in ports.inputs:
        first = np.asarray(arrays[port.name])[: port.shape[0]]
        if port.scale is None or first.dtype == port.dtype:
            found[port.name] = _from_stored(port, first.astype(port.dtype))
        else:
            real = first.astype(np.float32)
            found[port.name] = Values(real, port.stored(real))
    return found


def seeded_samples(content: bytes, ports: Ports) -> Iterator[dict[str, Values]]:
    """`{input name: Values}` of noise in the range of each input, the likeliest first.

    Integers that stand for themselves may be indices: those behind which a table is looked up are
    within it; of others, wide ranges come first and narrow ones after.

    Args:
        content: The bytes of a `.tflite`.
        ports: Its inputs and outputs.
    """
    limits = index_limits(content, ports)
    for attempt in range(_TRIES):
        rng = np.random.default_rng(attempt)
        yield {
            port.name: _from_stored(port, _noise(rng, port, limits.get(port.name), attempt))
            for port in ports.inputs
        }


def run(flatbuffer: Flatbuffer, sample: dict[str, Values], kernels: str) -> dict[str, np.ndarray]:
    """`{output name: real values}` of one run in LiteRT.

    Raises:
        ValueError: LiteRT refuses the model.
    """
    feed = {
        # Booleans are no numbers to NumPy.
        name: values.stored.astype(np.uint8) if values.stored.dtype == bool else values.stored
        for name, values in sample.items()
    }
    return flatbuffer.outputs(feed, kernels)


def _from_stored(port: Port, stored: np.ndarray) -> Values:
    return Values(port.real(stored), stored)


def _noise(rng: np.random.Generator, port: Port, limit: int | None, attempt: int) -> np.ndarray:
    if port.dtype == "bool":
        return rng.random(port.shape) < 0.5
    if port.integers is None:
        ways = (rng.random, lambda shape: rng.normal(size=shape), lambda s: 255 * rng.random(s))
        return np.asarray(ways[attempt % len(ways)](port.shape), port.dtype)
    low, high = port.integers
    if port.scale is None and limit is not None:
        low, high = 0, min(high, limit - 1)
    elif port.scale is None and (high >= 2**16 or attempt % len(_SPANS)):
        span = _SPANS[attempt % len(_SPANS)]
        low, high = max(low, -span if attempt % 2 == 0 else 0), min(high, span)
    return rng.integers(low, high, port.shape, port.dtype, endpoint=True)
