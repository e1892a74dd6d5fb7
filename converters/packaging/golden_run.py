"""The run whose input and output firmware checks itself by.

It has to tell a firmware that runs the model from one that does not, whose output is what its
memory held before: zeros, or what the input left there. Where seeded inputs give such an output,
others are tried; where none tells, or the user gave the input, that is said.
"""

from dataclasses import dataclass

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.packaging.arena import MicroRun, run_micro
from converters.packaging.golden import departures
from converters.packaging.ports import Ports
from converters.packaging.sample import Values, one_sample, run, seeded_samples
from converters.samples import Samples


@dataclass(frozen=True)
class GoldenRun:
    """One run in TensorFlow Lite Micro.

    Attributes:
        origin: Where the input is from, in words.
        inputs: `{input name: Values}`.
        outputs: `{output name: Values}`.
        micro: What the run took.
        litert: `{output name: real values}` of LiteRT's reference kernels; None where it does not
            run the model.
        refusal: Why it does not, in its words.
        silent: Outputs that firmware passes without running the model.
    """

    origin: str
    inputs: dict[str, Values]
    outputs: dict[str, Values]
    micro: MicroRun
    litert: dict[str, np.ndarray] | None
    refusal: str | None
    silent: tuple[str, ...]


def golden_run(
    source: Flatbuffer, ports: Ports, sample: Samples | None, only_micro: bool
) -> GoldenRun:
    """Run the model on the sample, or on seeded noise that tells most.

    Args:
        source: The model.
        ports: Its inputs and outputs.
        sample: As in `Flatbuffer.predict`, of which the first is taken; None for noise.
        only_micro: Whether it has ops that LiteRT lacks.

    Raises:
        ValueError: Unusable samples, or TensorFlow Lite Micro cannot run the model.
    """
    if sample is not None:
        given = one_sample(source, ports, sample)
        return _run(source, ports, "a sample of the user", given, only_micro)
    best, refused = None, None
    indices = any(port.scale is None and port.integers for port in ports.inputs)
    for inputs in seeded_samples(source.content, ports):
        try:
            found = _run(source, ports, "seeded noise", inputs, only_micro)
        except ValueError as error:
            refused = refused or error
            if not indices and not isinstance(error, _NotFinite):
                raise
            continue
        if found.refusal and indices and not only_micro:
            # Perhaps for an index that is beyond its table: narrower ones are tried first.
            best = best or found
            continue
        if best is None or best.refusal or len(found.silent) < len(best.silent):
            best = found
        if not found.silent:
            break
    if best is None:
        raise refused
    return best


class _NotFinite(ValueError):
    """An input on which the output is not finite."""


def _run(source, ports: Ports, origin: str, inputs: dict[str, Values], only_micro) -> GoldenRun:
    expected, refusal = None, None
    if only_micro:
        refusal = "it has ops that LiteRT has not"
    else:
        try:
            expected = run(source, inputs, "reference")
        except ValueError as error:
            refusal = str(error)
    fed = [inputs[port.name].stored for port in ports.inputs]
    micro = run_micro(source.content, fed, len(ports.outputs))
    outputs = _outputs(ports, micro)
    silent = tuple(
        port.name
        for port, left in zip(ports.outputs, micro.untouched, strict=True)
        if not all(
            departures(port, outputs[port.name], memory)
            for memory in (np.zeros(port.shape, port.dtype), left)
        )
    )
    return GoldenRun(origin, inputs, outputs, micro, expected, refusal, silent)


def _outputs(ports: Ports, micro: MicroRun) -> dict[str, Values]:
    found = {}
    for port, values in zip(ports.outputs, micro.outputs, strict=True):
        stored = np.asarray(values)
        if stored.size != port.size:
            raise ValueError(
                f"output {port.name!r} has {stored.size} values in TensorFlow Lite Micro and "
                f"{port.size} in the file: convert with fixed shapes"
            )
        stored = stored.reshape(port.shape)
        if not np.isfinite(stored).all():
            raise _NotFinite(
                f"output {port.name!r} is not finite on the golden input: give a `sample` on which "
                "it is"
            )
        found[port.name] = Values(port.real(stored), stored)
    return found
