import keras
import numpy as np

from edgekit.core.constraints import Mask, hold, release


def test_holds_come_after_the_users_own_and_go_again():
    own = keras.constraints.NonNeg()
    variable = keras.Variable(np.array([-1.0, 2.0, 3.0]))
    variable.constraint = own
    first = Mask(keras.Variable(np.array([True, True, False]), dtype="bool"))
    second = Mask(keras.Variable(np.array([True, False, True]), dtype="bool"))
    hold(variable, first)
    hold(variable, second)
    np.testing.assert_array_equal(variable.constraint(variable.value), [0, 0, 0])
    release(variable, first)  # not the last one put on
    np.testing.assert_array_equal(variable.constraint(variable.value), [0, 0, 3])
    release(variable, second)
    assert variable.constraint is own


def test_a_mask_wins_over_nan():
    mask = Mask(keras.Variable(np.array([False, True]), dtype="bool"))
    np.testing.assert_array_equal(mask(np.array([np.nan, 1.0], "float32")), [0, 1])
