import json

import numpy as np
import pytest

import edgekit as ek
from device_bench import estimate
from device_bench.estimates.processors import PROCESSORS, Processor, Range
from tests.device_bench.broken_models import converted


@pytest.fixture(scope="module")
def dense():
    """A product of a vector of 300 and a matrix of 300 x 200."""
    import tensorflow as tf

    matrix = tf.constant(np.random.default_rng(0).random((300, 200), "float32"))
    return converted(lambda x: tf.matmul(x, matrix), [1, 300])


@pytest.mark.parametrize(("macs_per_second", "bound"), [(1e3, "compute"), (1e12, "memory")])
def test_time_is_the_longer_of_computing_and_moving(dense, macs_per_second, bound):
    found = estimate(dense, Processor("mine", 0.0, macs_per_second, 1e6, "a data sheet"))
    (op,) = found.ops
    weights, moved = 4 * 300 * 200, 4 * (300 + 200)
    assert (op.macs, op.bound) == (60_000, bound)
    assert weights + moved <= op.bytes <= weights + moved + 1000  # a bias is there too
    seconds = 60 if bound == "compute" else op.bytes / 1e6
    assert found.milliseconds == pytest.approx(1000 * seconds)
    assert found.milliseconds_range.least == found.milliseconds_range.most
    assert found.microjoules is found.microjoules_range is None


def test_macs_are_those_of_the_inspection(files):
    found = estimate(files["int8"])
    assert found.macs == ek.inspect(files["int8"]).macs
    assert found.milliseconds_range.least < found.milliseconds < found.milliseconds_range.most
    # Nobody measured floats.
    assert estimate(files["float32"]).microjoules is None
    kept = json.loads(json.dumps(found.to_dict()))
    assert kept["processor"]["source"] == PROCESSORS["cortex-m4"].source
    assert sum(op["macs"] for op in kept["ops"]) == found.macs


def test_bad_processors(files):
    with pytest.raises(ValueError, match="must be one of cortex-m4, .* processor='z80'"):
        estimate(files["int8"], "z80")
    with pytest.raises(ValueError, match="does not compute CONV_2D in floats: convert to int8"):
        estimate(files["float32"], "ethos-u55-128")


# MLPerf Tiny on NUCLEO-L4R5ZI: million multiply-accumulates, milliseconds and microjoules of ST's
# runtime in v1.3, milliseconds of CMSIS-NN by microTVM in v1.0.
MEASURED = {
    "ResNet-8": (12.50, 165.7, 5496, 390),
    "DS-CNN": (2.66, 43.4, 1431, 99.8),
    "MobileNetV1": (7.49, 89.4, 3030, 301),
    "autoencoder": (0.264, 4.79, 160, 8.6),
}


@pytest.mark.parametrize("net", MEASURED)
def test_the_ranges_hold_what_boards_took(net):
    macs, st_ms, st_uj, cmsis_ms = MEASURED[net]
    for name, milliseconds in (("cortex-m4-st", st_ms), ("cortex-m4-cmsis-nn", cmsis_ms)):
        for processor in (PROCESSORS[name], PROCESSORS["cortex-m4"]):
            rate = processor.int8_macs_per_second
            assert 0.98 * rate.least < 1e9 * macs / milliseconds < 1.02 * rate.most
    energy = PROCESSORS["cortex-m4-st"].int8_picojoules_per_mac
    assert 0.98 * energy.least < st_uj / macs < 1.02 * energy.most
    assert PROCESSORS["cortex-m4-cmsis-nn"].int8_picojoules_per_mac is None


def test_an_op_at_its_best_and_worst(dense):
    mine = Processor("mine", 0.0, Range(1e3, 4e3), 1e9, "a data sheet")
    found = estimate(dense, mine)
    assert found.milliseconds_range == Range(15_000, 60_000)
    assert found.milliseconds == pytest.approx(30_000)
    assert "1.5e+04 to 6e+04" in str(found)
    with pytest.raises(ValueError, match="at most `most`"):
        Range(2, 1)
