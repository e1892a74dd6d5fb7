"""One sample to run a packaged model on."""

from dataclasses import dataclass

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.packaging.ports import Port, Ports
from converters.samples import Samples


@dataclass(frozen=True)
class Values:
    """What goes into an input, or comes out of an output, in one run.

    Attributes:
        real: What they mean.
        stored: As the file holds them.
    """

    real: np.ndarray
    stored: np.ndarray


def one_sample(flatbuffer: Flatbuffer, ports: Ports, sample: Samples | None) -> dict[str, Values]:
    """`{input name: Values}` of one run.

    Args:
        flatbuffer: The model.
        ports: Its inputs and outputs.
        sample: As in `Flatbuffer.predict`, of which the first is taken; None for seeded noise
            in the range of each input.

    Raises:
        ValueError: Unusable samples.
    """
    if sample is None:
        rng = np.random.default_rng(0)
        return {port.name: _from_stored(port, _noise(rng, port)) for port in ports.inputs}
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


def _noise(rng: np.random.Generator, port: Port) -> np.ndarray:
    if port.dtype == "bool":
        return rng.random(port.shape) < 0.5
    if port.integers is None:
        return rng.random(port.shape).astype(port.dtype)
    # An integer that stands for itself may be an index: zero is always a valid one.
    low, high = port.integers if port.scale is not None else (0, 0)
    return rng.integers(low, high, port.shape, port.dtype, endpoint=True)
