import json

import numpy as np
import pytest

import edgekit as ek
from device_bench import estimate
from device_bench.estimates.processors import ENERGY, PROCESSORS, Processor
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
    joules = 60_000 * ENERGY.float_mac + (op.bytes - moved) * ENERGY.dram_byte
    assert op.microjoules == pytest.approx((joules + moved * ENERGY.sram_byte) / 1e6)


def test_macs_are_those_of_the_inspection(files):
    found = estimate(files["int8"])
    assert found.macs == ek.inspect(files["int8"]).macs
    assert found.microjoules < estimate(files["float32"]).microjoules
    kept = json.loads(json.dumps(found.to_dict()))
    assert kept["processor"]["source"] == PROCESSORS["cortex-m4"].source
    assert sum(op["macs"] for op in kept["ops"]) == found.macs


def test_bad_processors(files):
    with pytest.raises(ValueError, match="must be one of cortex-m4, .* processor='z80'"):
        estimate(files["int8"], "z80")
    with pytest.raises(ValueError, match="does not compute CONV_2D in floats: convert to int8"):
        estimate(files["float32"], "ethos-u55-128")
