import keras
import numpy as np

from edgekit.core.constraints import Mask, hold, release


def masked_variable(*keep):
    return Mask(keras.Variable(np.array(keep), dtype="bool"))


def test_holds_come_after_the_users_own_and_go_again():
    own = keras.constraints.NonNeg()
    layer = keras.layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    variable = layer.kernel
    variable.assign([[-1.0, 2.0, 3.0]])
    variable.constraint = own
    first = [(variable, masked_variable([True, True, False]))]
    second = [(variable, masked_variable([True, False, True]))]
    hold(model, first)
    hold(model, second)
    np.testing.assert_array_equal(variable.constraint(variable.value), [[0, 0, 0]])
    release(model, first)  # not the last one put on
    np.testing.assert_array_equal(variable.constraint(variable.value), [[0, 0, 3]])
    release(model, second)
    assert variable.constraint is own
    assert "assign" not in vars(variable)


def test_a_mask_wins_over_nan():
    mask = masked_variable(False, True)
    np.testing.assert_array_equal(mask(np.array([np.nan, 1.0], "float32")), [0, 1])
