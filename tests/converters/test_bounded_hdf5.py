"""Weights that claim more than their file holds, or lie elsewhere, are not read."""

import io
import time
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

from converters.legacy.headers import read_header
from converters.legacy.loading import load_model

_PETABYTES = (2**30, 2**20)


def petabytes_of_nothing(group, folder):
    group.create_dataset("huge", _PETABYTES, "float32", fillvalue=1.0)


def petabytes_in_chunks(group, folder):
    group.create_dataset("huge", _PETABYTES, "float32", chunks=(16, 16))


def a_bomb(group, folder):
    group.create_dataset("huge", data=np.zeros(2**26 + 1, "uint8"), compression="gzip")


def a_filtered_claim(group, folder):
    group.create_dataset("huge", _PETABYTES, "float32", chunks=(64, 64), compression="gzip")


def another_files_bytes(group, folder):
    (folder / "secret").write_bytes(bytes(400))
    external = [(str(folder / "secret"), 0, 400)]
    group.create_dataset("elsewhere", (100,), "float32", external=external)


def a_link_to_another_file(group, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.zeros(4, "float32")
    group["elsewhere"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def another_files_array(group, folder):
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", shape=(4,))
    group.create_virtual_dataset("elsewhere", layout)


HARMFUL = {
    petabytes_of_nothing: "claims 4,503,599,627,370,496 bytes and has 0",
    petabytes_in_chunks: "claims 4,503,599,627,370,496 bytes and has 0",
    a_bomb: "more than 200 times as many",
    a_filtered_claim: "claims 4,503,599,627,37.,... bytes of weights",
    another_files_bytes: "'/.*elsewhere' lies in another file",
    a_link_to_another_file: "is a link to another file, '.*other.h5'",
    another_files_array: "'/.*elsewhere' lies in another file",
}


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="head")])


def with_more(change, folder, how, model):
    """A model's file, sound but for what `change` adds to its weights."""
    if how == ".h5":
        path = folder / "model.h5"
        model.save(path)
        with h5py.File(path, "a") as file:
            change(file["model_weights"]["head"], folder)
        return path
    sound, path = folder / "sound.keras", folder / "model.keras"
    model.save(sound)
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(path, "w", how) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".h5"):
                weights = io.BytesIO(content)
                with h5py.File(weights, "a") as file:
                    change(file["layers"], folder)
                content = weights.getvalue()
            new.writestr(name, content)
    return path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("how", [".h5", zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("change", HARMFUL, ids=lambda change: change.__name__)
def test_refused_before_any_of_it_is_read(tmp_path, model, change, how):
    path = with_more(change, tmp_path, how, model)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(ValueError, match=HARMFUL[change]) as caught:
        load_model(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert time.process_time() - start < 2
    assert peak < 5_000_000


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("how", [".h5", zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_sound_is_loaded(tmp_path, model, how):
    def nothing_bad(group, folder):
        group["compressed"] = np.zeros(3)
        group.create_dataset("packed", (100,), compression="gzip", data=np.arange(100.0))
        group["again"] = h5py.SoftLink("packed")
        group["here"] = group["packed"]  # the same by another name

    loaded = load_model(with_more(nothing_bad, tmp_path, how, model))
    for found, wanted in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_weights_that_are_no_hdf5(tmp_path, model, how):
    model.save(tmp_path / "sound.keras")
    with zipfile.ZipFile(tmp_path / "sound.keras") as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(tmp_path / "cut.keras", "w", how) as new:
        for name, content in parts.items():
            new.writestr(name, content[:900] if name.endswith(".h5") else content)
    with pytest.raises(ValueError, match=r"model\.weights\.h5 in .*cut\.keras cannot be read"):
        read_header(tmp_path / "cut.keras")
