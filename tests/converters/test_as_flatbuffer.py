"""What a benchmark is given may be a Keras model of any age."""

import numpy as np
import pytest

from converters.as_flatbuffer import as_flatbuffer


def test_models_and_their_files_become_flatbuffers(tmp_path):
    tk = pytest.importorskip("tf_keras")
    model = tk.Sequential([tk.layers.Input((4,)), tk.layers.Dense(2)])
    model.save(tmp_path / "old.h5")
    model.save(tmp_path / "folder", save_format="tf")
    x = np.ones((1, 4), "float32")
    for given in (model, tmp_path / "old.h5", str(tmp_path / "folder")):
        np.testing.assert_allclose(as_flatbuffer(given).predict(x), model(x), atol=1e-6)


def test_flatbuffers_stay_as_they_are(folder):
    found = as_flatbuffer(folder / "float32.tflite")
    assert as_flatbuffer(found) is found
    with pytest.raises(FileNotFoundError, match="no such file"):
        as_flatbuffer("nowhere.tflite")


def test_estimates_and_benchmarks_take_them(tmp_path):
    import edgekit as ek

    tk = pytest.importorskip("tf_keras")
    model = tk.Sequential([tk.layers.Input((4,)), tk.layers.Dense(2)])
    model.save(tmp_path / "old.h5")
    assert ek.estimate(tmp_path / "old.h5").macs == 8
