import keras
import pytest
from keras import layers

from edgekit.core.kernel_axes import KernelAxes, kernel_axes
from edgekit.core.kernels import own_kernels


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(4), (3,), KernelAxes((), (0,), (1,))),
        (layers.Conv1D(4, 3), (8, 3), KernelAxes((0,), (1,), (2,))),
        (layers.Conv2D(4, 3), (8, 8, 3), KernelAxes((0, 1), (2,), (3,))),
        (layers.Conv3D(4, 3), (8, 8, 8, 3), KernelAxes((0, 1, 2), (3,), (4,))),
        (layers.Conv2DTranspose(4, 3), (8, 8, 3), KernelAxes((0, 1), (3,), (2,))),
        (layers.DepthwiseConv2D(3), (8, 8, 3), KernelAxes((0, 1), (), (2, 3))),
        (layers.EinsumDense("abc,cde->abde", (None, 2, 4)), (5, 3), KernelAxes((), (0,), (1, 2))),
        (layers.EinsumDense("abde,dec->abc", (None, 4)), (5, 2, 3), KernelAxes((), (0, 1), (2,))),
    ],
)
def test_roles_of_the_axes(layer, shape, expected):
    keras.Sequential([keras.Input(shape), layer])
    (kernel,) = own_kernels(layer)
    assert kernel_axes(layer, kernel) == expected


def test_a_separable_convolution_has_one_of_each_kind():
    layer = layers.SeparableConv2D(4, 3)
    keras.Sequential([keras.Input((8, 8, 3)), layer])
    depthwise, pointwise = own_kernels(layer)
    assert kernel_axes(layer, depthwise) == KernelAxes((0, 1), (), (2, 3))
    assert kernel_axes(layer, pointwise) == KernelAxes((0, 1), (2,), (3,))
