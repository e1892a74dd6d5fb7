import contextlib

import keras
import numpy as np
import pytest

import edgekit as ek
from tests.edgekit.distillation.conftest import fit, make_net

D = ek.distillation


def test_a_run_is_saved_and_goes_on_as_if_nothing_had_been(data, teacher, tmp_path):
    losses = [D.SoftTargets(2), D.Hints("conv")]
    distiller = ek.distill(make_net(6), teacher, losses, 0.3, weights=[1, 2])
    fit(distiller, data, compiling={"metrics": ["accuracy"]})
    distiller.save(tmp_path / "run.keras")
    again = keras.models.load_model(tmp_path / "run.keras")
    found = []
    for each in (distiller, again):
        history = each.fit(*data, batch_size=32, shuffle=False, verbose=0).history
        found.append((history, each.student.get_weights()))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)
    distiller.student.save(tmp_path / "student.keras")
    alone = keras.models.load_model(tmp_path / "student.keras")
    assert alone.count_params() == make_net(6).count_params()


def test_an_interrupted_run_is_restored(data, teacher, tmp_path):
    def run(epochs, stop_at=None):
        keras.utils.set_random_seed(0)
        distiller = ek.distill(make_net(6), teacher, [D.SoftTargets(), D.Hints("conv")])

        class Stop(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == stop_at:
                    raise KeyboardInterrupt

        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        callbacks = [backup, Stop()] if stop_at != "none" else []
        with contextlib.suppress(KeyboardInterrupt):
            fit(distiller, data, epochs=epochs, callbacks=callbacks)
        return distiller.student.get_weights()

    run(4, stop_at=2)
    for resumed, whole in zip(run(4), run(4, stop_at="none"), strict=True):
        np.testing.assert_allclose(resumed, whole, atol=1e-5)


def test_a_function_is_not_saved_with_the_run(teacher, tmp_path):
    distiller = ek.distill(make_net(6), lambda x: teacher(x).numpy())
    with pytest.raises(ValueError, match="save the student"):
        distiller.save(tmp_path / "run.keras")
