"""Clusters on two logical devices, which a process has to ask for before it uses TensorFlow."""

import subprocess
import sys
from pathlib import Path

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
    lambda: ek.WeightClustering(6),
    lambda: ek.WeightClustering(6, gradient="sum"),
    lambda: ek.WeightClustering(6, refresh=2),
    lambda: ek.WeightClustering("ternary"),
    lambda: ek.WeightClustering(bits="auto", max_bytes=400),
):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = make_cnn()
        model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[make()])
    replicas = [np.asarray(v) for v in model.get_layer("conv").kernel.value.values]
    assert len(replicas) == 2
    np.testing.assert_array_equal(*replicas)
    assert len(np.unique(replicas[0])) <= 256 // 2, len(np.unique(replicas[0]))
"""


def test_values_are_equal_on_all_replicas():
    code = CODE.format(root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
