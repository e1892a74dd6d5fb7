"""A `.tflite` model: its bytes, and running it in LiteRT."""

import gzip
import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from converters.checks import Check
from converters.file_kinds import check_flatbuffer
from converters.files import existing_file, write_whole
from converters.isolation import run_isolated
from converters.reader import read_model, read_models
from converters.runner import KERNELS, Runner, Tensor
from converters.samples import Samples, by_name, match_tensors


class Flatbuffer:
    """A LiteRT model in memory.

    Example:
        >>> fb = Flatbuffer.from_file("model.tflite")
        >>> probabilities = fb.predict(images)
        >>> fb.save("copy.tflite")

    Args:
        content: The bytes of the `.tflite` file.
        check: As the attribute. Defaults to `None`.
        order: Names of the inputs in the order of the model it was converted from, for lists of
            arrays. Defaults to `None`: not known.

    Attributes:
        check: How its outputs compare with those of the model it was converted from; None for a
            file that was read.

    Raises:
        ValueError: The bytes are not a LiteRT flatbuffer.
    """

    def __init__(
        self, content: bytes, check: Check | None = None, order: Sequence[str] | None = None
    ):
        check_flatbuffer(content)
        self.content = bytes(content)
        self.check = check
        self.order = None if order is None else list(order)
        self._runners: dict[tuple[str, str | None], Runner] = {}
        self._noted: set[tuple[str | None, str]] = set()

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
        """Of the bytes, those of constants; what several tensors share counts once."""
        tensors = (t for model in read_models(self.content) for t in model.tensors)
        stored = {t.buffer: t.stored_bytes for t in tensors if t.constant}
        return min(self.size, sum(stored.values()))

    @cached_property
    def gzip_size(self) -> int:
        """Bytes after `gzip -9`, as a download would be."""
        return len(gzip.compress(self.content, compresslevel=9, mtime=0))

    def save(self, path: str | os.PathLike) -> Path:
        """Write the file, whole or not at all."""
        return write_whole(path, self.content)

    @cached_property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """`{input name: shape with batch}` of the default signature, 1 where a size is open."""
        return {name: tensor.shape for name, tensor in read_model(self.content).inputs.items()}

    @cached_property
    def output_names(self) -> list[str]:
        """Names of the default signature's outputs, read without running the model."""
        return list(read_model(self.content).outputs)

    @cached_property
    def signatures(self) -> list[str]:
        """Keys of the signatures, in the file's order; none in a file without."""
        return [signature.key for signature in read_model(self.content).signatures]

    def only(self, signature: str | None = None) -> "Flatbuffer":
        """One signature as a file of its own, without what the others need.

        For runtimes and tools that know a single one, as microcontrollers'.

        Example:
            >>> fb.only("decode").save("decode.tflite")

        Args:
            signature: Its key. Defaults to `None`: `"serving_default"`, or the first.

        Raises:
            ValueError: The file has no such signature.
        """
        from converters.single_signature import single_signature

        content = single_signature(self.content, signature)
        if content == self.content:
            return self
        if self.check is None:
            return Flatbuffer(content)
        default = read_model(self.content).signature
        if signature is None or (default is not None and signature == default.key):
            return Flatbuffer(content, replace(self.check, signatures={}))
        return Flatbuffer(content, self.check.signatures.get(signature))

    def named_inputs(
        self, x: Samples, argument: str = "x", signature: str | None = None
    ) -> dict[str, np.ndarray]:
        """`x` as one array per input name, checked against what the model takes.

        Warns, once for each kind, of real values in another scale than an integer input's.

        Raises:
            ValueError: As in `predict`; the message calls the samples `argument`.
        """
        model = read_model(self.content, signature)
        order = self.order if signature is None else None
        x = by_name(x, {name: t.shape for name, t in model.inputs.items()}, order)
        arrays, notes = match_tensors(x, model, argument)
        for name, note in notes.items():
            if (signature, name) not in self._noted:
                self._noted.add((signature, name))
                warnings.warn(note, stacklevel=_outside())
        return arrays

    def predict(
        self, x: Samples, kernels: str = "xnnpack", signature: str | None = None
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Run the model in the LiteRT interpreter, one thread.

        A file that `convert` made has run before, and runs in this process. Any other may crash
        native code or never end, and runs in a process of its own.

        Example:
            >>> fb.predict(images)                          # one input
            >>> fb.predict({"image": images, "meta": meta})  # by signature name
            >>> fb.predict([images, meta])                  # in the order of the model
            >>> fb.predict(codes, signature="decode")

        Args:
            x: `(batch, ...)` array, or several as a dict by input name; or as a list, in the order
                of the model it was converted from, or of a file that was read where the shapes
                leave no doubt. Any batch size; where the
                inputs have no first size in common, the arrays of one run. Real values are
                quantized where the model takes integers; an array already of the input's dtype is
                taken as is. Open sizes may be any.
            kernels: `"xnnpack"`, what phones run; `"builtin"`, LiteRT's own where XNNPACK has
                none; or `"reference"`, the plain kernels that microcontrollers follow. They may
                differ in the last bit. Defaults to `"xnnpack"`.
            signature: Key of the signature to run. Defaults to `None`: `"serving_default"`, or
                the first.

        Returns:
            `(batch, ...)` array, or `{output name: array}` for several outputs; integer
            outputs are dequantized to float32.

        Raises:
            ValueError: Wrong number, names, shapes or batch sizes of inputs, no samples, values
                that an input cannot take, unknown kernels or signatures, a file that LiteRT
                refuses, or an output whose shape differs between samples.

        Warns:
            UserWarning: Real values in another scale than an integer input takes, once.
        """
        values = self.outputs(x, kernels, signature)
        return values if len(values) > 1 else next(iter(values.values()))

    def outputs(
        self, x: Samples, kernels: str = "xnnpack", signature: str | None = None
    ) -> dict[str, np.ndarray]:
        """As `predict`, by name however many outputs there are."""
        _check_kernels(kernels)
        arrays = self.named_inputs(x, signature=signature)
        if self.check is None:
            found = run_isolated(self.content, kernels, "outputs", arrays, signature)
        else:
            key = kernels, signature
            if key not in self._runners:
                self._runners[key] = Runner(self.content, kernels, signature=signature)
            found = self._runners[key].outputs(arrays)
        return {name: tensor.values for name, tensor in found.items()}

    def tensors(
        self, x: Samples, kernels: str = "reference", signature: str | None = None
    ) -> dict[str, Tensor]:
        """Every tensor the model computes, sample by sample: for finding where values depart.

        Example:
            >>> fb.tensors(images[:8])["conv_range/FakeQuant"].values

        Args:
            x: As in `predict`; all tensors of all samples are kept, so a few.
            kernels: As in `predict`. Defaults to `"reference"`.
            signature: As in `predict`. Defaults to `None`.

        Returns:
            `{tensor name: Tensor}` without those whose shape differs between samples, integers
            dequantized.

        Raises:
            ValueError: As in `predict`.
        """
        _check_kernels(kernels)
        arrays = self.named_inputs(x, signature=signature)
        return run_isolated(self.content, kernels, "tensors", arrays, signature)


def _check_kernels(kernels: str) -> None:
    if kernels not in KERNELS:
        raise ValueError(f"`kernels` must be one of {KERNELS}. Received: kernels={kernels!r}")


def _outside() -> int:
    """How many frames up the caller is that is not of this file."""
    frame, depth = sys._getframe(1), 1
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, depth = frame.f_back, depth + 1
    return depth
