"""Files that older versions saved load, and compute what they did."""

from pathlib import Path

import keras
import numpy as np

import edgekit as ek
from edgekit.core.selection import all_layers
from edgekit.quantization import KernelQuantizer

# Saved before calls had ranges of their own, estimator 'recent', and learned steps in layers that
# are several ops: a convolution with BatchNorm, attention, a recurrent layer and a head of 8 bits.
OLD = Path(__file__).parent / "files" / "version_0_int4.keras"


def test_a_file_from_before_sites_and_recent_ranges():
    assert ek.quantize_aware  # which registers the layers
    model = keras.models.load_model(OLD)
    x = np.random.default_rng(0).normal(size=(64, 4, 4, 2)).astype("float32")
    expected = [[-0.02635058, -0.01976294], [0.03952587, -0.09222704]]  # what it gave when saved
    np.testing.assert_allclose(model(x[:2]), expected, rtol=1e-4)  # of the range at inference
    learned = [k for k in all_layers(model) if isinstance(k, KernelQuantizer) and k.learned]
    assert [k.channel_axes for k in learned] == [(-1,)]  # of the convolution, as then
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(x, x[:, 0, 0], verbose=0)
