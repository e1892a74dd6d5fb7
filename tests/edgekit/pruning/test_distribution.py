"""Pruning on two logical devices, which a process has to ask for before it uses TensorFlow."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import sys
sys.path.insert(0, {root!r})
import tensorflow as tf

device = tf.config.list_physical_devices("CPU")[0]
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(device, halves)
import keras
import numpy as np
import edgekit as ek
from tests.conftest import make_cnn, make_data

x, y = make_data()
for make in (
    lambda: ek.GradualPruning(0.5),
    lambda: ek.GradualPruning(0.5, granularity="filter", criterion="taylor"),
    lambda: ek.GradualPruning(0.5, criterion="wanda"),
    lambda: ek.DynamicSparsity(0.5, every=2, scope="layer"),
    lambda: ek.LotteryTicket(0.5, rounds=2),
):
    keras.config.set_dtype_policy({policy!r})
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = make_cnn()
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    callback = make()
    model.fit(x, y, epochs=3, verbose=0, callbacks=[callback])
    replicas = [np.asarray(v) for v in model.get_layer("conv").kernel.value.values]
    assert len(replicas) == 2
    np.testing.assert_array_equal(*replicas)
    mask = callback.masks["conv/kernel"]
    np.testing.assert_array_equal(replicas[0] != 0, mask)
    assert np.mean(mask) == 0.5, np.mean(mask)
"""


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_masks_are_equal_on_all_replicas(policy):
    code = CODE.format(root=str(ROOT), policy=policy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
