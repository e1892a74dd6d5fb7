"""The benchmark runs from end to end, on noise in the place of its data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def noise(tmp_path):
    rng = np.random.default_rng(0)
    digits = {
        f"{kind}_{name}": rng.integers(0, top, (count, *shape), dtype="uint8")
        for name, count in (("train", 4500), ("test", 500))
        for kind, top, shape in (("x", 256, (28, 28)), ("y", 10, ()))
    }
    np.savez(tmp_path / "mnist.npz", **digits)
    images = rng.integers(0, 256, (64, 32, 32, 3), dtype="uint8")
    jpegs = [tf.io.encode_jpeg(images[n % 64]).numpy() for n in range(5600)]
    offsets = np.cumsum([0, *map(len, jpegs)])
    np.savez(
        tmp_path / "cifar10_train_jpeg.npz",
        jpeg=np.frombuffer(b"".join(jpegs), "uint8"),
        offsets=offsets,
        y=rng.integers(0, 10, len(jpegs)),
    )
    return tmp_path


@pytest.mark.slow
def test_quick(noise):
    out = noise / "found.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "distillation.py", "--quick", "--out", out],
        env={**os.environ, "EDGEKIT_DATA": str(noise)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(out.read_text())["summary"]
    assert set(found) == {"hinton", "share of the gap closed", "never seen", "orderings", "cost"}
    assert found["cost"]["alone"]["ratio"] == 1
