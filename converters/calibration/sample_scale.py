"""Samples whose scale is not the one that a model's first steps are made for."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np

from converters.saved_model import named_outputs

# What a net sees once it has brought its input to its own scale is about 1 in size.
_LEAST_SPREAD = 0.05
_MOST = 50.0
_SAMPLES = 8


def scale_notes(
    model: keras.Model, samples: Mapping[str, np.ndarray], pixels: Collection[str] = ()
) -> list[str]:
    """A sentence for each input whose samples seem to be of another scale than the model expects.

    A model that begins with arithmetic on its input, as `Rescaling(1 / 255)` or `Normalization`,
    says by that what it expects: its first kernel then sees numbers of about 1. A model whose
    first kernel sees its input as it is says nothing, but is hardly made for bytes.

    Args:
        model: A Functional or Sequential model.
        samples: `{input name: (samples, ...)}`, in the model's order.
        pixels: Names of inputs whose samples were given as uint8, though the model takes floats.
    """
    few = {name: array[:_SAMPLES] for name, array in samples.items()}
    with _first_kernels(model) as seen, keras.StatelessScope():
        named_outputs(model, list(few.values()))
    found = []
    for name, values in few.items():
        raw = samples[name]
        if not np.issubdtype(raw.dtype, np.number) or not raw.size or raw.min() == raw.max():
            continue
        first = next((s for s in seen if _comes_from(s, values, len(few))), None)
        if first is None or not first.size:
            continue
        said = (
            f"the calibration samples of input {name!r} reach from {raw.min():g} to {raw.max():g}"
        )
        if first.shape == values.shape and np.array_equal(first, values):
            if name in pixels and raw.max() > 1:
                found.append(
                    f"{said} as uint8, and the model takes floats and multiplies them by its first "
                    "kernel as they are: calibrate with what it is fed in use, scaled as it was "
                    "in training"
                )
            continue
        smaller = np.ptp(first) < np.ptp(values)
        if _spread(first) < _LEAST_SPREAD or (smaller and np.abs(first).max() > _MOST):
            found.append(
                f"{said}, which the model's own first steps bring to {first.min():.3g} to "
                f"{first.max():.3g}: they seem to be of another scale than it was trained on, as "
                "0 to 1 where it expects 0 to 255"
            )
    return found


def _spread(values: np.ndarray) -> float:
    """How far the values of a channel lie apart, of the channel where that is most."""
    return float(np.ptp(values.reshape(-1, values.shape[-1]), axis=0).max())


def _comes_from(seen: np.ndarray, values: np.ndarray, inputs: int) -> bool:
    """Whether what a kernel sees may be this input, scaled, padded or resized."""
    if inputs > 1:
        return seen.shape == values.shape
    return seen.ndim == values.ndim and seen.shape[-1] == values.shape[-1]


@contextmanager
def _first_kernels(model: keras.Model) -> Iterator[list[np.ndarray]]:
    """Within it the list takes what each layer with a kernel is first called with, in order."""
    seen: list[np.ndarray] = []
    layers = [
        layer
        for layer in dict.fromkeys(model._flatten_layers(include_self=False))
        if hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")
    ]

    def watched(layer):
        call, calls = layer.call, []

        def first(inputs, *args, **kwargs):
            if not calls and keras.ops.is_tensor(inputs):
                calls.append(seen.append(keras.ops.convert_to_numpy(inputs)))
            return call(inputs, *args, **kwargs)

        return first

    for layer in layers:
        vars(layer)["call"] = watched(layer)  # past Keras's tracking of attributes
    try:
        yield seen
    finally:
        for layer in layers:
            del vars(layer)["call"]
