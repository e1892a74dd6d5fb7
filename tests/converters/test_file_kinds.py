import keras
import numpy as np
import pytest

import edgekit as ek
from converters import Flatbuffer
from converters.file_kinds import kind_of, may_be_quantization_aware


def test_files_are_known_by_their_bytes(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    np.save(tmp_path / "a.npy", np.ones(2))
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1")
    words = {
        "m.keras": "a Keras model (.keras): `convert` makes",
        "m.h5": "an HDF5 file",
        "a.npz": "NumPy arrays (.npz)",
        "a.npy": "a NumPy array (.npy)",
        "pointer": "a Git LFS pointer",
    }
    for name, said in words.items():
        assert said in kind_of((tmp_path / name).read_bytes())
    assert kind_of(b"no such bytes") is None
    with pytest.raises(
        ValueError, match=r"m\.keras: not a LiteRT flatbuffer \(.tflite\) but a Keras"
    ):
        Flatbuffer.from_file(tmp_path / "m.keras")
    for name, config in (("plain", '{"class_name": "Dense"}'), ("q", '"QuantizeWrapperV2"')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keras_metadata.pb").write_text(config)
    for name in ("m.keras", "m.h5", "a.tflite", "plain"):
        assert not may_be_quantization_aware(tmp_path / name)
    aware = ek.quantize_aware(model)
    aware.save(tmp_path / "q.keras")
    aware.save(tmp_path / "q.h5")
    for name in ("q", "q.keras", "q.h5", "none.keras", ""):
        assert may_be_quantization_aware(tmp_path / name)
    with pytest.raises(ValueError, match="int8 needs `calibration`"):
        ek.convert(tmp_path / "m.keras", "int8")
