import os
import signal

import numpy as np
import pytest

from converters import Flatbuffer, isolation
from converters.isolation import run_isolated


@pytest.fixture(scope="module")
def endless():
    """A model whose loop never ends, as a damaged one's may not."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def forever(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 1e9, lambda y: y * 1.0, [x])[0]

    concrete = forever.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], forever)
    return Flatbuffer(converter.convert())


def test_the_same_answers_as_in_this_process(files, data):
    x, _ = data
    own = files["int8"]
    read = Flatbuffer(own.content)
    for kernels in ("xnnpack", "reference"):
        expected = own.predict(x[:20], kernels)
        np.testing.assert_array_equal(read.predict(x[:20], kernels), expected)


def test_a_run_without_end_is_an_error(endless, files, data, monkeypatch):
    monkeypatch.setattr(isolation, "PATIENCE", 1)
    with pytest.raises(ValueError, match="did not finish running this model within 1 s"):
        endless.predict(np.zeros((1, 4), "float32"))
    read = Flatbuffer(files["int8"].content)  # and the next one runs
    assert read.predict(data[0][:2]).shape == (2, 4)


def test_a_crash_is_an_error(files, data, monkeypatch):
    monkeypatch.setattr(isolation.SERVER, "run", lambda job: -signal.SIGKILL)
    with pytest.raises(ValueError, match=r"LiteRT crashed on this model \(SIGKILL\)"):
        Flatbuffer(files["int8"].content).predict(data[0][:1])


def test_a_killed_worker_is_started_again(files, data):
    read = Flatbuffer(files["int8"].content)
    read.predict(data[0][:1])
    with isolation.SERVER.server() as server:
        pass
    os.kill(server.child.pid, signal.SIGKILL)
    assert read.predict(data[0][:2]).shape == (2, 4)


def test_what_litert_says_is_passed_on(files, data):
    arrays = Flatbuffer(files["int8"].content).named_inputs(data[0][:1])
    with pytest.raises(ValueError, match="LiteRT cannot load this model"):
        run_isolated(b"\x10\0\0\0TFL3" + bytes(64), "xnnpack", "outputs", arrays)
