"""`ek.load_model` knows edgekit's own layers."""

import subprocess
import sys

import numpy as np
import pytest


def test_a_quantisation_aware_model_comes_back_in_a_process_of_its_own(cnn, data, tmp_path):
    import edgekit as ek

    model = ek.quantize_aware(cnn)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data, verbose=0)
    model.save(tmp_path / "qat.keras")
    np.save(tmp_path / "x.npy", data[0][:4])
    code = f"""
import numpy as np, edgekit as ek
model = ek.load_model(r"{tmp_path / "qat.keras"}")
np.save(r"{tmp_path / "y.npy"}", model(np.load(r"{tmp_path / "x.npy"}")))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model(data[0][:4]))


def test_what_could_not_be_checked_is_a_warning(tmp_path):
    import edgekit as ek

    tk = pytest.importorskip("tf_keras")
    x = tk.Input((3,), dtype="string", name="words")
    tk.Model(x, tk.layers.StringLookup(vocabulary=["a"])(x)).save(tmp_path / "old")
    with pytest.warns(UserWarning, match=r"old: outputs were not compared: .*'words'.*holds text"):
        assert ek.load_model(tmp_path / "old").layers
    assert ek.migrate(tmp_path / "old").difference is None


def test_a_model_of_keras_3_needs_no_migration(cnn):
    import edgekit as ek

    with pytest.raises(ValueError, match="'cnn' is one of Keras 3 already"):
        ek.migrate(cnn)
    with pytest.raises(ValueError, match="`model` must be a tf_keras model.*Received: int"):
        ek.migrate(3)
