"""What ranges of activations cut off: counted in a run of the model."""

import keras
import numpy as np

from edgekit.core.call_hooks import hooked
from edgekit.core.selection import all_layers
from edgekit.quantization.fake_quantize import FakeQuantize


def clipped_shares(model: keras.Model, inputs) -> dict[str, float]:
    """`{path of the rounding: share of its values beyond its range}`, 0 to 1, at inference.

    Of what is called several times it is the largest share of a call.

    Example:
        >>> clipped_shares(qat, x[:32])
        {'image_range': 0.0, 'conv_range': 0.004, …}

    Args:
        model: A trained model from `ek.quantize_aware`.
        inputs: As the model takes them; all run at once.
    """
    layers = [layer for layer in all_layers(model) if isinstance(layer, FakeQuantize)]
    found: dict[str, float] = {}

    def counted(layer, call):
        def count(values, *args, **kwargs):
            share = float(np.asarray(layer.share_beyond(values)))
            found[layer.path] = max(share, found.get(layer.path, 0.0))
            return call(values, *args, **kwargs)

        return count

    with hooked([layer for layer in layers if layer.fixed_range is None], counted):
        model(inputs, training=False)
    return found
