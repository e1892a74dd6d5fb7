"""What goes with a filter: all that would make a constant of its channel behind it.

That is its bias, and up to the next layer that mixes channels gamma and beta of
BatchNormalization and the biases of depthwise convolutions. With them at zero nothing is left of a
pruned filter, and it can be removed without any change to what the model computes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers as kl

from edgekit.core.graph import Graph
from edgekit.core.kernel_axes import LayerKernel
from edgekit.core.kernels import is_depthwise
from edgekit.core.neighbours import CHANNELWISE, graphs_of

# Operations of Keras by the name of their class: they are not public.
_CHANNELWISE_OPERATIONS = (
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Tanh", "Sigmoid", "HardSwish"),
    *("HardSilu", "HardSigmoid", "Mish", "Softplus", "Softsign", "Celu", "Abs", "Square", "Clip"),
)
_SUMS = ("Add", "Subtract", "Average", "Maximum", "Minimum")
_CONCATENATIONS, _PRODUCTS = ("Concatenate",), ("Multiply",)
_DEPTHWISE = (kl.DepthwiseConv1D, kl.DepthwiseConv2D)
_MIXING = ("softmax", "log_softmax")
# Those that give 0 for 0, as names of functions, layers and operations in lower case.
_THROUGH_ZERO = (
    *("linear", "relu", "relu6", "leaky_relu", "leakyrelu", "prelu", "elu", "selu", "gelu", "silu"),
    *("swish", "tanh", "mish", "softsign", "celu", "hard_swish", "hardswish", "hardsilu", "abs"),
    *("hard_silu", "square"),
)

Alive = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class _Channels:
    """What is known of the channels of a tensor.

    Attributes:
        axis: Which axis counts them.
        alive: From which filters are alive, one array per kernel, to which channels carry anything.
        is_zero: Whether a channel that carries nothing is zero, not just constant.
    """

    axis: int
    alive: Alive
    is_zero: bool = True


class Companions:
    """The vectors that go with the filters of some kernels.

    Args:
        model: The model.
        kernels: The kernels, in the order in which masks will come.
    """

    def __init__(self, model: keras.Model, kernels: Sequence[LayerKernel]):
        self._kernels = list(kernels)
        # A vector of a layer that is called twice is needed where one of its calls needs it.
        self._found: dict[int, tuple[keras.Variable, list[Alive]]] = {}
        self._numbers: dict[keras.layers.Layer, list[int]] = {}
        for number, kernel in enumerate(self._kernels):
            # The first of the two kernels of a separable convolution has no bias.
            if isinstance(kernel.layer, _DEPTHWISE) or not is_depthwise(
                kernel.layer, kernel.variable
            ):
                self._numbers.setdefault(kernel.layer, []).append(number)
        # Of a subclassed model this runs the user's code: not where nobody asks.
        graphs = graphs_of(model) if self._kernels else []
        if graphs:
            self._follow(graphs[0], {})
        for layer, numbers in self._numbers.items():
            bias = getattr(layer, "bias", None)
            for number in numbers if id(bias) not in self._found else []:
                self._add(bias, lambda alive, n=number: alive[n])

    @property
    def variables(self) -> list[keras.Variable]:
        """The vectors."""
        return [vector for vector, _ in self._found.values()]

    def masks(self, masks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Their masks: False where the filter is gone.

        Args:
            masks: The kernels' masks.
        """
        if not self._found:
            return []
        pairs = zip(masks, self._kernels, strict=True)
        alive = [filters_alive(mask, kernel).ravel() for mask, kernel in pairs]
        return [
            np.any([call(alive) for call in calls], axis=0).reshape(vector.shape)
            for vector, calls in self._found.values()
        ]

    def _add(self, vector, alive: Alive) -> None:
        if not isinstance(vector, keras.Variable) or not vector.trainable:
            return
        filters = [np.ones(self._filters(k), bool) for k in self._kernels]
        if alive(filters).size == int(np.prod(vector.shape)):
            self._found.setdefault(id(vector), (vector, []))[1].append(alive)

    def _filters(self, kernel: LayerKernel) -> int:
        return int(np.prod([kernel.variable.shape[axis] for axis in kernel.axes.outputs]))

    def _follow(self, graph: Graph, known: dict[int, _Channels]) -> list[_Channels | None]:
        """What is known of the outputs of a graph, from what is known of its inputs."""
        for call in graph.calls:
            if isinstance(call.operation, keras.Model):
                inner = graphs_of(call.operation)
                if not inner:
                    continue
                pairs = zip(inner[0].inputs, call.input_tensors, strict=False)
                given = {id(i): known[id(t)] for i, t in pairs if id(t) in known}
                found = self._follow(inner[0], given)
            else:
                found = [self._through(call, known)]
            for tensor, channels in zip(call.outputs, found, strict=False):
                if channels is not None:
                    known[id(tensor)] = channels
        return [known.get(id(tensor)) for tensor in graph.outputs]

    def _through(self, call, known: dict[int, _Channels]) -> _Channels | None:
        operation, inputs = call.operation, [known.get(id(t)) for t in call.input_tensors]
        rank = len(call.outputs[0].shape)
        # Wrappers of quantization-aware training hold what LiteRT computes as one.
        inside = getattr(operation, "inner_layers", None)
        if inside is not None or isinstance(operation, kl.TimeDistributed):
            layers = inside() if inside is not None else [operation.layer]
            channels = inputs[0] if len(inputs) == 1 else None
            for layer in layers:
                channels = self._layer(layer, channels, rank)
            return channels
        if getattr(operation, "rounds", None) == "activations":
            return inputs[0]
        name = type(operation).__name__
        if name in _CONCATENATIONS:
            return _joined(call, inputs)
        if name in _SUMS + _PRODUCTS and len(call.input_tensors) > 1:
            return _combined(call, inputs, product=name in _PRODUCTS)
        if len(inputs) != 1:
            return None
        if not isinstance(operation, kl.Layer):
            # A constant that an operation adds or multiplies with changes none of it.
            passes = name in _CHANNELWISE_OPERATIONS + _SUMS + _PRODUCTS
            zero = name.lower() in _THROUGH_ZERO
            return _passed(inputs[0], zero, rank, call) if passes else None
        return self._layer(operation, inputs[0], rank)

    def _layer(self, layer, channels: _Channels | None, rank: int) -> _Channels | None:
        if isinstance(layer, kl.BatchNormalization):
            axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
            if channels is None or [axis % rank for axis in axes] != [channels.axis]:
                return None
            self._add(layer.gamma, channels.alive)
            self._add(layer.beta, channels.alive)
            return _Channels(channels.axis, channels.alive, layer.gamma is not None)
        numbers = self._numbers.get(layer, [])
        if isinstance(layer, _DEPTHWISE) and channels is not None:
            channels = self._depthwise(layer, channels, numbers)
        elif len(numbers) == 1 and self._gives_channels(self._kernels[numbers[0]]):
            first = getattr(layer, "data_format", "channels_last") == "channels_first"
            number = numbers[0]
            channels = _Channels(1 if first else rank - 1, lambda alive: alive[number])
        elif not isinstance(layer, CHANNELWISE):
            return None
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if channels is None or activation in _MIXING:
            return None
        through = activation in _THROUGH_ZERO
        was_last = channels.axis != 1 or rank == 2
        axis = rank - 1 if was_last else 1
        return _Channels(axis, channels.alive, channels.is_zero and through)

    def _gives_channels(self, kernel: LayerKernel) -> bool:
        """Whether each filter makes one channel along one axis, the last or the first."""
        if isinstance(kernel.layer, kl.EinsumDense):
            operands, result = kernel.layer.equation.replace(" ", "").split("->")
            label = operands.split(",")[1][kernel.axes.outputs[-1]]
            return len(kernel.axes.outputs) == 1 and result[-1] == label
        return len(kernel.axes.outputs) == 1 or isinstance(kernel.layer, _DEPTHWISE)

    def _depthwise(self, layer, channels: _Channels, numbers: list[int]) -> _Channels:
        def alive(filters):
            given = np.repeat(channels.alive(filters), layer.depth_multiplier)
            for number in numbers:
                given = given & filters[number]
            return given

        self._add(layer.bias, alive)
        return _Channels(channels.axis, alive)


def filters_alive(mask: np.ndarray, kernel: LayerKernel) -> np.ndarray:
    """True for each filter of which anything is left."""
    along = tuple(axis for axis in range(mask.ndim) if axis not in kernel.axes.outputs)
    return mask.any(axis=along)


def _passed(channels: _Channels | None, zero: bool, rank: int, call) -> _Channels | None:
    if channels is None or len(call.input_tensors[0].shape) != rank:
        return None
    return _Channels(channels.axis, channels.alive, channels.is_zero and zero)


def _joined(call, inputs: list[_Channels | None]) -> _Channels | None:
    rank = len(call.outputs[0].shape)
    axis = call.operation.axis % rank
    known = [channels for channels in inputs if channels is not None]
    if not known or any(channels.axis != axis for channels in known):
        return None
    sizes = [tensor.shape[axis] for tensor in call.input_tensors]
    if None in sizes:
        return None

    def alive(filters):
        return np.concatenate(
            [
                np.ones(size, bool) if channels is None else channels.alive(filters)
                for channels, size in zip(inputs, sizes, strict=True)
            ]
        )

    return _Channels(axis, alive, all(channels.is_zero for channels in known))


def _combined(call, inputs: list[_Channels | None], product: bool) -> _Channels | None:
    shapes = {tuple(tensor.shape)[-1] for tensor in call.input_tensors}
    known = [channels for channels in inputs if channels is not None]
    if not known or len({channels.axis for channels in known}) > 1 or len(shapes) > 1:
        return None
    if product:
        # Zero times anything is zero; a constant times anything is not.
        known = [channels for channels in known if channels.is_zero]
        if not known:
            return None
        return _Channels(known[0].axis, lambda f: np.all([c.alive(f) for c in known], axis=0))
    if len(known) < len(inputs):
        return None
    zero = all(channels.is_zero for channels in known)
    return _Channels(known[0].axis, lambda f: np.any([c.alive(f) for c in known], axis=0), zero)
