"""Running a model in LiteRT's interpreter, in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import first_line
from converters.reader import DAMAGE

KERNELS = ("xnnpack", "builtin", "reference")


@dataclass(frozen=True)
class Tensor:
    """A computed tensor.

    Args:
        values: `(samples, ...)`, real.
        scale: Its step; None for a float tensor.
    """

    values: np.ndarray
    scale: float | None


class Runner:
    """A LiteRT interpreter that feeds and reads a model by its signature's names.

    Args:
        content: The bytes of a `.tflite`.
        kernels: Out of `KERNELS`.
        keep_tensors: Whether `tensors` is to be called, for which memory is not shared.
            Defaults to `False`.

    Raises:
        ValueError: LiteRT refuses the file.
    """

    def __init__(self, content: bytes, kernels: str, keep_tensors: bool = False):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {
            "xnnpack": OpResolverType.AUTO,
            "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            "reference": OpResolverType.BUILTIN_REF,
        }
        try:
            self.interpreter = Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=resolver[kernels],
                experimental_preserve_all_tensors=keep_tensors,
            )
            self.interpreter.allocate_tensors()
            self.input_details, self.output_details = signature_details(self.interpreter)
        except (RuntimeError, *DAMAGE) as error:
            raise ValueError(f"LiteRT cannot load this model: {first_line(error)}") from None

    def outputs(
        self, arrays: Mapping[str, np.ndarray], step: Callable[[], None] = lambda: None
    ) -> dict[str, Tensor]:
        """`{output name: Tensor}` of all samples.

        Args:
            arrays: `{input name: (samples, ...)}`, whole batches.
            step: Called before each invocation.

        Raises:
            ValueError: LiteRT fails to run the model.
        """
        return self._run(arrays, self.output_details, step)

    def tensors(
        self, arrays: Mapping[str, np.ndarray], step: Callable[[], None] = lambda: None
    ) -> dict[str, Tensor]:
        """`{tensor name: Tensor}` of everything that is computed, as `outputs`."""
        made = {index for op in self.interpreter._get_ops_details() for index in op["outputs"]}
        made |= {detail["index"] for detail in self.input_details.values()}
        details = self.interpreter.get_tensor_details()
        return self._run(arrays, {d["name"]: d for d in details if d["index"] in made}, step)

    def _run(self, arrays, wanted: Mapping[str, dict], step: Callable[[], None]) -> dict:
        """The tensors of `wanted`, `{name: details}`, for all samples."""
        inputs = self.input_details
        stored = {name: quantize(arrays[name], detail) for name, detail in inputs.items()}
        batch = next(iter(inputs.values()))["shape"][0]
        results: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
        for start in range(0, len(next(iter(stored.values()))), batch):
            step()
            for name, array in stored.items():
                self.interpreter.set_tensor(inputs[name]["index"], array[start : start + batch])
            try:
                self.interpreter.invoke()
            except RuntimeError as error:
                raise ValueError(f"LiteRT cannot run this model: {first_line(error)}") from None
            for name, detail in wanted.items():
                values = self.interpreter.get_tensor(detail["index"])
                results[name].append(np.atleast_1d(values))  # loops compute with scalars
        return {
            name: Tensor(
                dequantize(np.concatenate(parts), wanted[name]),
                wanted[name]["quantization"][0] or None,
            )
            for name, parts in results.items()
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
