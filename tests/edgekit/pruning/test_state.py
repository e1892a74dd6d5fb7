"""A run that is stopped, saved and taken up in another process ends as one that was not."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import edgekit as ek
from tests.conftest import make_cnn

ROOT = Path(__file__).resolve().parents[3]
CALLBACKS = {
    "magnitude": "ek.GradualPruning(0.7)",
    "zeros": "ek.GradualPruning(0.7)",  # no state: the weights and `initial_epoch` say enough
    "taylor": "ek.GradualPruning(0.7, criterion='taylor')",
    "wanda": "ek.GradualPruning(0.7, criterion='wanda')",
    "filter": "ek.GradualPruning(0.5, granularity='filter')",
    "rigl": "ek.DynamicSparsity(0.7, every=3)",
}
OPTIONS = {"batch_size": 16, "epochs": 4, "verbose": 0, "shuffle": False}
SECOND_HALF = """
import sys
sys.path.insert(0, {root!r})
import keras
import edgekit as ek
from tests.conftest import make_data

x, y = make_data()
for name, make in {callbacks!r}.items():
    model = keras.models.load_model(f"{{name}}.keras")
    callback = eval(make)
    if name != "zeros":
        callback.load_state(f"{{name}}.npz")
    model.fit(x, y, initial_epoch=2, callbacks=[callback], **{options})
    model.save(f"{{name}}_whole.keras")
"""


class StopAfter(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


def compiled(model):
    model.get_layer("dropout").rate = 0  # Keras does not save its state of chance
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def started(callbacks, data):
    """A net fitted with the callbacks, from the same weights each time."""
    keras.utils.set_random_seed(0)
    model = compiled(make_cnn())
    model.fit(*data, callbacks=callbacks, **OPTIONS)
    return model


@pytest.mark.filterwarnings("ignore:.*the fit stopped after:UserWarning")
def test_goes_on_in_another_process(data, tmp_path):
    for name, make in CALLBACKS.items():
        callback = eval(make)
        model = started([callback, StopAfter()], data)
        model.save(tmp_path / f"{name}.keras")
        assert callback.save_state(tmp_path / name) == tmp_path / f"{name}.npz"
    code = SECOND_HALF.format(root=str(ROOT), callbacks=CALLBACKS, options=OPTIONS)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for name, make in CALLBACKS.items():
        whole = started([eval(make)], data)
        joined = keras.models.load_model(tmp_path / f"{name}_whole.keras")
        for one, other in zip(joined.weights, whole.weights, strict=True):
            message = f"{name}: {one.path}"
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=message)


def test_what_is_no_state_is_refused(cnn, data, tmp_path):
    pruning = ek.GradualPruning(0.5)
    with pytest.raises(ValueError, match="no fit with this callback has begun"):
        pruning.save_state(tmp_path / "state")
    (tmp_path / "text.npz").write_text("no state")
    with pytest.raises(ValueError, match=r"text.npz holds no state of a callback"):
        pruning.load_state(tmp_path / "text.npz")
    with pytest.raises(FileNotFoundError):
        pruning.load_state(tmp_path / "missing.npz")
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="holds the state of something else, not of Gradual"):
        pruning.load_state(tmp_path / "arrays.npz")
    x, y = data
    compiled(cnn).fit(x, y, verbose=0, callbacks=[pruning])
    path = pruning.save_state(tmp_path / "state")
    with pytest.raises(ValueError, match="the state of GradualPruning, not of DynamicSparsity"):
        ek.DynamicSparsity(0.5).load_state(path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        pruning.save_state(tmp_path / "nowhere" / "state")
    other = ek.GradualPruning(0.5, layers="^conv$")
    other.load_state(path)
    with pytest.raises(ValueError, match="has 3 arrays `mask` for 1 kernels"):
        cnn.fit(x, y, verbose=0, callbacks=[other])
