import numpy as np
import pytest

import edgekit as ek
from converters.packaging import arena
from converters.packaging.arena import run_micro
from converters.packaging.arena_run import least_that_runs
from converters.packaging.ports import read_ports
from tests.converters.packaging.handmade import dense_chain


def stored(file, x):
    return [port.stored(x) for port in read_ports(file.content).inputs]


def test_what_it_gives_is_what_reference_kernels_give(files, data):
    run = run_micro(files["int8"].content, stored(files["int8"], data[0][:1]), 1)
    (port,) = read_ports(files["int8"].content).outputs
    expected = files["int8"].predict(data[0][:1], "reference")
    assert np.abs(port.real(run.outputs[0]) - expected).max() <= port.scale * 1.01
    assert run.total == run.head + run.tail
    # The largest two tensors that live at once, in int8: 8×8×8 and another, and the sum of both.
    assert run.head >= 2 * 8 * 8 * 8
    assert run.total <= run.least <= run.arena / 1.2
    assert run.arena <= 1.2 * run.least + 16
    assert run.arena % 16 == 0


def test_the_arena_set_aside_is_enough_and_half_is_not(files, data):
    content, inputs = files["int8"].content, stored(files["int8"], data[0][:1])
    run = run_micro(content, inputs, 1)
    for enough in (run.arena, run.least):
        assert run_micro(content, inputs, 1, enough).total == run.total
    with pytest.raises(ValueError, match="TensorFlow Lite Micro cannot run this model"):
        run_micro(content, inputs, 1, run.total // 2)


def test_its_own_words_come_through(files, data):
    with pytest.raises(ValueError, match=r"DEQUANTIZE: float16 weights.*own words: tensorflow.*"):
        run_micro(files["float16"].content, [data[0][:1]], 1)


def test_hybrid_kernels_are_refused():
    import keras

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    file = ek.convert(model, ["dynamic"])["dynamic"]
    with pytest.raises(ValueError, match="int8 weights with float activations"):
        run_micro(file.content, [np.zeros((1, 64), "float32")], 1)


def test_without_tflite_micro_the_error_names_the_extra(files, monkeypatch):
    monkeypatch.setattr(arena, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'edgekit-keras\[mcu\]'"):
        run_micro(files["int8"].content, [], 1)


@pytest.mark.parametrize("widths", [[1, 16, 16, 1], [4, 4], [64, 8, 64]])
def test_the_size_to_set_aside_runs_a_small_net(widths):
    file = dense_chain(widths)
    inputs = [np.full((1, widths[0]), 7, "int8")]
    run = run_micro(file.content, inputs, 1)
    # Less than a fifth more than what its recorder says does not suffice for nets like these.
    assert run.least > run.total
    for enough in (run.arena, run.least):
        again = run_micro(file.content, inputs, 1, enough)
        np.testing.assert_array_equal(again.outputs[0], run.outputs[0])
    with pytest.raises(ValueError, match="cannot run this model"):
        run_micro(file.content, inputs, 1, run.least - 16)


@pytest.mark.parametrize("least", [0, 1, 16, 17, 333, 4096, 10_000])
def test_the_search_finds_the_least_multiple(least):
    tried = []

    def runs(size):
        tried.append(size)
        return size >= least

    found = least_that_runs(runs, 100, 10_000, 16)
    assert found == max(-(-least // 16) * 16, 112)
    assert len(tried) <= 20
