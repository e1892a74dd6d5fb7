import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.integer.grids import Grid, constant_grid, weight_grid


@given(st.integers(0, 10_000), st.sampled_from([1, 7, 127]), st.booleans())
@settings(max_examples=50)
def test_weights_on_a_grid_are_found_again_exactly(seed, levels, per_channel):
    rng = np.random.default_rng(seed)
    integers = rng.integers(-levels, levels + 1, (6, 5, 4))
    scales = rng.uniform(1e-4, 2, (6, 1, 1) if per_channel else 1).astype("float32")
    values = (integers * scales).astype("float32")
    grid = weight_grid(values, axis=0)
    assert grid.exact
    assert grid.steps.max() <= levels
    bits = 8 if levels > 7 else 4
    assert grid.fits(bits)
    found = grid.scales(bits)
    shape = (-1, 1, 1) if grid.axis == 0 else (1,)
    back = grid.integers(values, found) * found.reshape(shape)
    np.testing.assert_allclose(back, values, atol=1e-5 * np.abs(values).max())


def test_free_weights_are_rounded_to_the_largest():
    values = np.random.default_rng(0).normal(size=(4, 50)).astype("float32")
    grid = weight_grid(values, axis=0)
    assert not grid.exact
    assert not grid.fits(4)
    np.testing.assert_allclose(grid.scales(8), np.abs(values).max(axis=1) / 127, rtol=1e-6)


def test_scales_stay_coarse_where_a_bias_asks_for_it():
    values = np.array([[0.0, 0.5, -0.5], [0.0, 0.0, 0.0]], "float32")
    grid = weight_grid(values, axis=0)
    fine, coarse = grid.scales(8), grid.scales(8, smallest=np.array([0.2, 0.2]))
    assert fine[0] < 0.01
    assert coarse[0] == 0.25  # half of the coarsest, 0.5, and above 0.2
    assert (coarse > 0).all()


def test_constants():
    assert constant_grid(np.float32([1.5]).reshape(()), "int8").scale == pytest.approx(1.5 / 127)
    assert constant_grid(np.zeros(3, "float32"), "int8").zero_point == 0
    values = np.random.default_rng(0).uniform(0.2, 1, 400).astype("float32")
    grid = constant_grid(values, "int8")
    assert grid.zero_point == -128  # one-sided values use all integers
    back = (grid.integers(values).astype("float64") - grid.zero_point) * grid.scale
    assert np.abs(back - values).max() < 0.51 * grid.scale


def test_int16_holds_an_int8_grid_exactly():
    grid = Grid("int8", 0.1, 37)
    wide = grid.widened()
    values = (np.arange(-128, 128) - grid.zero_point) * grid.scale
    np.testing.assert_allclose(wide.integers(values) * wide.scale, values, atol=1e-6)
    low, high = ((limit - 37) * 0.1 for limit in grid.limits)
    assert grid.covering().scale * 32767 == pytest.approx(max(-low, high))
