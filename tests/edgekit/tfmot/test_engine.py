"""TFMOT stays in its place."""

import subprocess
import sys

CODE = """
import os, sys
import edgekit as ek
assert "tensorflow_model_optimization" not in sys.modules and "tf_keras" not in sys.modules
ek.tfmot
assert "tensorflow_model_optimization" not in sys.modules and "tensorflow" not in sys.modules
from edgekit.tfmot.engine import load_tfmot
load_tfmot()
assert "tensorflow_model_optimization" in sys.modules
import keras, tensorflow as tf
assert "TF_USE_LEGACY_KERAS" not in os.environ
assert tf.keras.Model is keras.Model
print("as before")
"""


def test_loading_it_leaves_tf_keras_and_the_environment_alone(tk):
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert "as before" in done.stdout, done.stderr


def test_without_it_the_extra_is_named():
    code = """
import sys
sys.modules["tensorflow_model_optimization"] = None
from edgekit.tfmot.engine import load_tfmot
try:
    load_tfmot()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'edgekit-keras[tfmot]'" in done.stdout, done.stderr
