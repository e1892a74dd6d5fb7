import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def folder(files, tmp_path):
    """Small nets under the names of MLPerf Tiny's."""
    folder = tmp_path / "mlperf_tiny"
    folder.mkdir()
    for name in ("resnet8", "kws", "vww", "ad01"):
        files["int8"].save(folder / f"{name}_int8.tflite")
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, activation="relu")(image)
    x = keras.layers.AveragePooling2D(5, name="average_pooling2d")(x)
    answers = keras.layers.Dense(10)(keras.layers.Flatten()(x))
    keras.Model(image, answers).save(folder / "resnet8.h5")
    return tmp_path


@pytest.mark.slow
def test_quick(folder):
    out = folder / "found.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "bench_trust.py", "--quick", "--out", out],
        env={**os.environ, "EDGEKIT_DATA": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["self"]["summary"]["comparisons"] == 2
    assert found["harm"]["summary"]["crashing"] == "the process crashed with SIGSEGV"
    assert found["arena"]["summary"]["equal"] == "0 of 4"  # these are other nets
    assert set(found["litert"]["summary"]) == {"resnet8", "kws", "vww", "ad01"}
    assert len(found["planted"]["verdicts"]) == 2
    assert found["profile"]["summary"]["kws, builtin"]["rows_us"] > 0
