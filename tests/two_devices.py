"""Code on two logical devices, which a process has to ask for before it uses TensorFlow."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BEGIN = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import tensorflow as tf

device = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(device, halves)
import keras
import numpy as np
import edgekit as ek
from tests.conftest import make_cnn, make_data

def mirrored():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def equal_replicas(variable):
    replicas = [np.asarray(v) for v in variable.value.values]
    assert len(replicas) == 2
    np.testing.assert_array_equal(*replicas)
    return replicas[0]

keras.utils.set_random_seed(0)
x, y = make_data()
"""


def run_on_two_devices(code: str) -> None:
    """Run it in a process of its own, with `mirrored()`, `equal_replicas(variable)`, x and y.

    Raises:
        AssertionError: It failed.
    """
    command = [sys.executable, "-c", _BEGIN + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
