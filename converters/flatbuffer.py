"""A `.tflite` model: its bytes, and running it in LiteRT."""

import gzip
import hashlib
import os
from functools import cached_property
from pathlib import Path

import numpy as np

from converters.checks import Check
from converters.files import existing_file, write_whole
from converters.isolation import run_isolated
from converters.reader import read_model
from converters.runner import KERNELS, Runner, Tensor
from converters.samples import Samples, match_inputs

_IDENTIFIER = b"TFL3"


class Flatbuffer:
    """A LiteRT model in memory.

    Example:
        >>> fb = Flatbuffer.from_file("model.tflite")
        >>> probabilities = fb.predict(images)
        >>> fb.save("copy.tflite")

    Args:
        content: The bytes of the `.tflite` file.

    Attributes:
        check: How its outputs compare with those of the model it was converted from; None for a
            file that was read.

    Raises:
        ValueError: The bytes are not a LiteRT flatbuffer.
    """

    def __init__(self, content: bytes, check: Check | None = None):
        if len(content) < 8 or content[4:8] != _IDENTIFIER:
            raise ValueError(
                f"not a LiteRT flatbuffer: {len(content)} bytes without the mark 'TFL3' at byte 4"
            )
        self.content = bytes(content)
        self.check = check
        self._runners: dict[str, Runner] = {}

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "Flatbuffer":
        """Read a `.tflite` file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not a LiteRT flatbuffer.
        """
        path = existing_file(path)
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def __getstate__(self):
        return {**vars(self), "_runners": {}}  # interpreters are of their process

    def __repr__(self):
        return f"Flatbuffer({self.size:,} bytes)"

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.content)

    @cached_property
    def sha256(self) -> str:
        """Of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def weight_bytes(self) -> int:
        """Of the bytes, those of constants."""
        constants = [tensor for tensor in read_model(self.content).tensors if tensor.constant]
        return min(self.size, sum(tensor.stored_bytes for tensor in constants))

    @cached_property
    def gzip_size(self) -> int:
        """Bytes after `gzip -9`, as a download would be."""
        return len(gzip.compress(self.content, compresslevel=9, mtime=0))

    def save(self, path: str | os.PathLike) -> Path:
        """Write the file, whole or not at all."""
        return write_whole(path, self.content)

    @cached_property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """`{input name: shape with batch}`, read without running the model."""
        return {name: tensor.shape for name, tensor in read_model(self.content).inputs.items()}

    @cached_property
    def output_names(self) -> list[str]:
        """Names of the outputs, read without running the model."""
        return list(read_model(self.content).outputs)

    def named_inputs(self, x: Samples, argument: str = "x") -> dict[str, np.ndarray]:
        """`x` as one array per input name, checked against the model's shapes.

        Raises:
            ValueError: As in `predict`; the message calls the samples `argument`.
        """
        arrays = match_inputs(x, self.input_shapes, argument)
        step = next(iter(self.input_shapes.values()))[0]
        count = len(next(iter(arrays.values())))
        if count % step:
            raise ValueError(
                f"`{argument}` must hold whole batches of {step}. Received {count} samples"
            )
        return arrays

    def predict(self, x: Samples, kernels: str = "xnnpack") -> np.ndarray | dict[str, np.ndarray]:
        """Run the model in the LiteRT interpreter, one thread.

        A file that `convert` made has run before, and runs in this process. Any other may crash
        native code or never end, and runs in a process of its own.

        Example:
            >>> fb.predict(images)                          # one input
            >>> fb.predict({"image": images, "meta": meta})  # by signature name

        Args:
            x: `(batch, ...)` array, or several as a dict by input name. Any batch size. Real
                values are quantised where the model takes integers; an array already of the
                input's dtype is taken as is.
            kernels: `"xnnpack"`, what phones run; `"builtin"`, LiteRT's own where XNNPACK has
                none; or `"reference"`, the plain kernels that microcontrollers follow. They may
                differ in the last bit. Defaults to `"xnnpack"`.

        Returns:
            `(batch, ...)` array, or `{output name: array}` for several outputs; integer
            outputs are dequantised to float32.

        Raises:
            ValueError: Wrong number, names, shapes or batch sizes of inputs, no samples, NaN
                or infinite values, unknown kernels, or a file that LiteRT refuses.
        """
        values = self.outputs(x, kernels)
        return values if len(values) > 1 else next(iter(values.values()))

    def outputs(self, x: Samples, kernels: str = "xnnpack") -> dict[str, np.ndarray]:
        """As `predict`, by name however many outputs there are."""
        _check_kernels(kernels)
        arrays = self.named_inputs(x)
        if self.check is None:
            found = run_isolated(self.content, kernels, "outputs", arrays)
        else:
            if kernels not in self._runners:
                self._runners[kernels] = Runner(self.content, kernels)
            found = self._runners[kernels].outputs(arrays)
        return {name: tensor.values for name, tensor in found.items()}

    def tensors(self, x: Samples, kernels: str = "reference") -> dict[str, Tensor]:
        """Every tensor the model computes, sample by sample: for finding where values depart.

        Example:
            >>> fb.tensors(images[:8])["conv_range/FakeQuant"].values

        Args:
            x: As in `predict`; all tensors of all samples are kept, so a few.
            kernels: As in `predict`. Defaults to `"reference"`.

        Returns:
            `{tensor name: Tensor}`, integers dequantised.

        Raises:
            ValueError: As in `predict`.
        """
        _check_kernels(kernels)
        return run_isolated(self.content, kernels, "tensors", self.named_inputs(x))


def _check_kernels(kernels: str) -> None:
    if kernels not in KERNELS:
        raise ValueError(f"`kernels` must be one of {KERNELS}. Received: kernels={kernels!r}")
