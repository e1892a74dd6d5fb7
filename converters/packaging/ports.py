"""What goes into a model and comes out of it, in the order in which programs count them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.flatbuffer_tables import CorruptFlatbuffer
from converters.model_info import TensorInfo
from converters.reader import read_model

_LAYOUTS = {2: "NC", 3: "NTC", 4: "NHWC", 5: "NDHWC"}
_DTYPES = ("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")


@dataclass(frozen=True)
class Port:
    """An input or output.

    A real value is `(stored − zero_point) · scale` where `scale` is not None.

    Attributes:
        name: In the signature; of the tensor where there is no signature.
        position: How programs count it, from 0.
        shape: As the file has it; `open_shape` has -1 for sizes that may change.
        layout: What its axes probably are; None where there is no guess.
    """

    name: str
    position: int
    tensor: str
    shape: tuple[int, ...]
    open_shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    layout: str | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def integers(self) -> tuple[int, int] | None:
        """Least and greatest stored value; None for floats."""
        if self.dtype == "bool":
            return 0, 1
        if self.dtype.startswith("float"):
            return None
        limits = np.iinfo(self.dtype)
        return int(limits.min), int(limits.max)

    @property
    def formula(self) -> str:
        """What a stored value `q` means, with its numbers; `q` where there is no scale."""
        if self.scale is None:
            return "q"
        return (
            f"(q {'+' if self.zero_point < 0 else '-'} {abs(self.zero_point)}) * {self.scale:.9g}"
        )

    @property
    def range(self) -> tuple[float, float] | None:
        """Least and greatest real value; None where the file does not say or no float holds it."""
        if self.scale is None:
            return None
        low, high = ((q - self.zero_point) * self.scale for q in self.integers)
        return (low, high) if max(-low, high) <= np.finfo(np.float32).max else None

    def stored(self, real: np.ndarray) -> np.ndarray:
        """Real values as the file stores them; values of its own dtype are taken as stored."""
        real = np.asarray(real)
        if real.dtype == self.dtype or self.scale is None:
            return real.astype(self.dtype)
        steps = np.round(real.astype(np.float32) / np.float32(self.scale)) + self.zero_point
        return np.clip(steps, *self.integers).astype(self.dtype)

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Stored values as real ones."""
        if self.scale is None:
            return stored
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)


@dataclass(frozen=True)
class Ports:
    """Inputs and outputs of a model.

    Attributes:
        signature: Key of the signature whose names are used; None where the file has none.
    """

    signature: str | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def read_ports(content: bytes) -> Ports:
    """The inputs and outputs of a `.tflite`, in the order of its graph.

    TensorFlow Lite Micro and LiteRT's CompiledModel count them in this order, whatever that of
    the signature.

    Raises:
        ValueError: It is damaged, or takes what no numbers can stand for.
    """
    model = read_model(content)
    key = model.signature.key if model.signature else None
    if model.subgraph:
        raise _NoNumbers(
            f"the signature {key!r} runs the file's subgraph {model.subgraph}, and a package runs "
            f"the first: name one that it is to run alone, as `signature={key!r}`"
        )
    return Ports(
        key,
        _ports(model.graph_inputs, model.inputs, "input"),
        _ports(model.graph_outputs, model.outputs, "output"),
    )


class _NoNumbers(ValueError):
    """A model that takes or gives none."""


def _ports(
    tensors: Sequence[TensorInfo], named: Mapping[str, TensorInfo], kind: str
) -> tuple[Port, ...]:
    if not tensors:
        raise _NoNumbers(f"the model has no {kind}s: there is nothing to package")
    names = {name: tensor.index for name, tensor in named.items()}
    found = []
    for position, tensor in enumerate(tensors):
        name = next((n for n, i in names.items() if i == tensor.index), tensor.name)
        names.pop(name, None)
        if tensor.dtype not in (*_DTYPES, "bool"):
            raise _NoNumbers(
                f"{kind} {name!r} is of dtype {tensor.dtype}: only numbers and booleans can be "
                "packaged"
            )
        # A scale of 0 says that there is none.
        quantized = tensor.scales not in ((), (0.0,)) and not tensor.dtype.startswith("float")
        quantized = quantized and len(tensor.scales) == 1
        if quantized and not 0 < tensor.scales[0] < float("inf"):
            raise CorruptFlatbuffer(
                f"damaged LiteRT flatbuffer: {kind} {name!r} has the scale {tensor.scales[0]:g}"
            )
        found.append(
            Port(
                name=name,
                position=position,
                tensor=tensor.name,
                shape=tensor.shape,
                open_shape=tensor.open_shape,
                dtype=tensor.dtype,
                scale=tensor.scales[0] if quantized else None,
                zero_point=(tensor.zero_points[0] if tensor.zero_points else 0)
                if quantized
                else None,
                layout=_layout(tensor.shape),
            )
        )
    return tuple(found)


def _layout(shape: tuple[int, ...]) -> str | None:
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3, 4) and shape[2] > 4:
        return "NCHW"
    return _LAYOUTS.get(len(shape))


def identifiers(names: Iterable[str], reserved: frozenset[str] = frozenset()) -> list[str]:
    """The names as identifiers of C and Kotlin, no two alike."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "tensor"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        while plain in found or plain in reserved:
            plain += "_"
        found.append(plain)
    return found
