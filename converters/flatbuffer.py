"""A `.tflite` model: its bytes, and running it in LiteRT."""

import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from converters.checks import Check
from converters.files import existing_file, write_whole
from converters.reader import DAMAGE, read_model
from converters.samples import Samples, match_inputs

KERNELS = ("xnnpack", "reference")
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
        self._runners: dict[str, _Runner] = {}

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

    def __repr__(self):
        return f"Flatbuffer({self.size:,} bytes)"

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.content)

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

        Example:
            >>> fb.predict(images)                          # one input
            >>> fb.predict({"image": images, "meta": meta})  # by signature name

        Args:
            x: `(batch, ...)` array, or several as a dict by input name. Any batch size. Real
                values are quantised where the model takes integers; an array already of the
                input's dtype is taken as is.
            kernels: `"xnnpack"`, what phones run, or `"reference"`, the plain kernels that
                microcontrollers follow; they may differ in the last bit. Defaults to
                `"xnnpack"`.

        Returns:
            `(batch, ...)` array, or `{output name: array}` for several outputs; integer
            outputs are dequantised to float32.

        Raises:
            ValueError: Wrong number, names, shapes or batch sizes of inputs, no samples, NaN
                or infinite values, unknown kernels, or a file that LiteRT refuses.
        """
        if kernels not in KERNELS:
            raise ValueError(f"`kernels` must be one of {KERNELS}. Received: kernels={kernels!r}")
        arrays = self.named_inputs(x)
        if kernels not in self._runners:
            self._runners[kernels] = _Runner(self.content, kernels)
        return self._runners[kernels].predict(arrays)

    def tensors(self, x: Samples, kernels: str = "reference") -> dict[str, "Tensor"]:
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
        if kernels not in KERNELS:
            raise ValueError(f"`kernels` must be one of {KERNELS}. Received: kernels={kernels!r}")
        return _Runner(self.content, kernels, keep_tensors=True).tensors(self.named_inputs(x))


@dataclass(frozen=True)
class Tensor:
    """A computed tensor.

    Args:
        values: `(samples, ...)`, real.
        scale: Its step; None for a float tensor.
    """

    values: np.ndarray
    scale: float | None


class _Runner:
    """A LiteRT interpreter that feeds and reads a model by its signature's names."""

    def __init__(self, content: bytes, kernels: str, keep_tensors: bool = False):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {"xnnpack": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}
        try:
            self.interpreter = Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=resolver[kernels],
                experimental_preserve_all_tensors=keep_tensors,
            )
            self.interpreter.allocate_tensors()
            self.inputs, self.outputs = signature_details(self.interpreter)
        except (RuntimeError, *DAMAGE) as error:
            raise ValueError(f"LiteRT cannot load this model: {_first_line(error)}") from None

    def predict(self, arrays: Mapping[str, np.ndarray]):
        outputs = self._run(arrays, self.outputs)
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def tensors(self, arrays: Mapping[str, np.ndarray]) -> dict[str, "Tensor"]:
        made = {index for op in self.interpreter._get_ops_details() for index in op["outputs"]}
        made |= {detail["index"] for detail in self.inputs.values()}
        details = self.interpreter.get_tensor_details()
        computed = {d["name"]: d for d in details if d["index"] in made}
        values = self._run(arrays, computed)
        return {
            name: Tensor(array, computed[name]["quantization"][0] or None)
            for name, array in values.items()
        }

    def _run(self, arrays: Mapping[str, np.ndarray], wanted: Mapping[str, dict]) -> dict:
        """The tensors of `wanted`, `{name: details}`, for all samples."""
        stored = {name: quantize(arrays[name], detail) for name, detail in self.inputs.items()}
        step = next(iter(self.inputs.values()))["shape"][0]
        results: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        for start in range(0, len(next(iter(stored.values()))), step):
            for name, array in stored.items():
                self.interpreter.set_tensor(self.inputs[name]["index"], array[start : start + step])
            try:
                self.interpreter.invoke()
            except RuntimeError as error:
                raise ValueError(f"LiteRT cannot run this model: {_first_line(error)}") from None
            for name, detail in wanted.items():
                values = self.interpreter.get_tensor(detail["index"])
                results[name].append(np.atleast_1d(values))  # loops compute with scalars
        return {
            name: dequantize(np.concatenate(parts), wanted[name]) for name, parts in results.items()
        }


def signature_details(interpreter) -> tuple[dict[str, dict], dict[str, dict]]:
    """`({input name: details}, {output name: details})` of the first signature, by name.

    A model without a signature is read by its tensors' own names.
    """
    inputs = {d["index"]: d for d in interpreter.get_input_details()}
    outputs = {d["index"]: d for d in interpreter.get_output_details()}
    signatures = interpreter._get_full_signature_list()  # the public list leaves out the indices
    if not signatures:
        return (
            {d["name"]: d for d in inputs.values()},
            {d["name"]: d for d in outputs.values()},
        )
    signature = next(iter(signatures.values()))
    return (
        {name: inputs[index] for name, index in sorted(signature["inputs"].items())},
        {name: outputs[index] for name, index in sorted(signature["outputs"].items())},
    )


def quantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Real values as the tensor stores them: `round(x / scale) + zero_point`, clipped."""
    dtype, (scale, zero_point) = detail["dtype"], detail["quantization"]
    if array.dtype == dtype or not scale:
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(array / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Stored values as reals: `(q − zero_point) · scale`; unquantised ones stay."""
    scale, zero_point = detail["quantization"]
    if not scale:
        return array
    return (array.astype(np.float32) - zero_point) * np.float32(scale)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
