"""Running a model in LiteRT's interpreter, in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import first_line
from converters.feeding import Feeding, feeding
from converters.flatbuffer_tables import DAMAGE
from converters.loaded_signature import LoadedSignature
from converters.model_info import unique_names
from converters.native_notes import native_notes_hidden
from converters.reader import UnknownSignature, read_model

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
        signature: Key of the signature to run. Defaults to `None`, the default one.

    Raises:
        ValueError: LiteRT refuses the file, or it has no such signature.
    """

    def __init__(
        self,
        content: bytes,
        kernels: str,
        keep_tensors: bool = False,
        signature: str | None = None,
    ):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {
            "xnnpack": OpResolverType.AUTO,
            "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            "reference": OpResolverType.BUILTIN_REF,
        }
        try:
            with native_notes_hidden():
                interpreter = Interpreter(
                    model_content=content,
                    num_threads=1,
                    experimental_op_resolver_type=resolver[kernels],
                    experimental_preserve_all_tensors=keep_tensors,
                )
                self.graph = LoadedSignature(interpreter, signature)
                self.graph.allocate()
            self.model = read_model(content, signature)
        except UnknownSignature:
            raise
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
            ValueError: LiteRT fails to run the model, or an output's shape changes from run to
                run.
        """
        found = self._run(arrays, self.graph.outputs, step)
        for name, parts in found.items():
            shapes = sorted({part.shape for part in parts})
            if len(shapes) > 1:
                raise ValueError(
                    f"output {name!r} has a shape that depends on the data: {shapes[0]} for one "
                    f"sample, {shapes[1]} for another. Give the samples one at a time"
                )
        return self._joined(found, self.graph.outputs)

    def tensors(
        self, arrays: Mapping[str, np.ndarray], step: Callable[[], None] = lambda: None
    ) -> dict[str, Tensor]:
        """`{tensor name: Tensor}` of everything that is computed, as `outputs`.

        Those whose shape changes from run to run are left out, and those that the kernels keep in
        no place of their own: XNNPACK computes what follows from constants alone beforehand.
        """
        ops = [op for op in self.model.ops if op.subgraph == self.model.subgraph]
        made = {tensor.index for op in ops for tensor in op.output_tensors}
        made |= {tensor.index for tensor in self.model.graph_inputs}
        details = [d for d in self.graph.tensor_details() if d["index"] in made]
        names = unique_names([d["name"] for d in details], [d["index"] for d in details])
        wanted = dict(zip(names, details, strict=True))
        found = self._run(arrays, wanted, step)
        shapes = {name: {np.shape(part) for part in parts} for name, parts in found.items()}
        kept = {
            name: parts
            for name, parts in found.items()
            if len(shapes[name]) == 1 and not any(part is None for part in parts)
        }
        return self._joined(kept, wanted)

    def _run(
        self, arrays: Mapping[str, np.ndarray], wanted: Mapping[str, dict], step: Callable
    ) -> dict[str, list[np.ndarray | None]]:
        """The tensors of `wanted`, `{name: details}`, of one run after another.

        None stands for what the interpreter keeps in no place; no output is that.
        """
        inputs, rules = self.graph.inputs, self.feeding
        stored = {name: quantize(arrays[name], detail) for name, detail in inputs.items()}
        results: dict[str, list[np.ndarray | None]] = {name: [] for name in wanted}
        for run in rules.runs(stored):
            step()
            try:
                self.graph.feed(run)
                self.graph.invoke()
            except RuntimeError as error:
                raise ValueError(f"LiteRT cannot run this model: {first_line(error)}") from None
            for name, detail in wanted.items():
                results[name].append(self.graph.read(detail))
        return results

    @property
    def feeding(self) -> Feeding:
        """How samples are divided into runs."""
        return feeding(self.model)

    def _joined(
        self, found: Mapping[str, list[np.ndarray]], details: Mapping[str, dict]
    ) -> dict[str, Tensor]:
        return {
            name: Tensor(
                dequantize(self.feeding.joined(parts), details[name]),
                details[name]["quantization"][0] or None,
            )
            for name, parts in found.items()
        }


def quantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Real values as the tensor stores them: `round(x / scale) + zero_point`, clipped."""
    dtype, (scale, zero_point) = np.dtype(detail["dtype"]), detail["quantization"]
    if dtype.kind == "S":  # strings, which LiteRT takes as objects
        return array
    if array.dtype == dtype or not scale:
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(array / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(array: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Stored values as reals: `(q − zero_point) · scale`; unquantized ones stay."""
    scale, zero_point = detail["quantization"]
    if not scale:
        return array
    return (array.astype(np.float32) - zero_point) * np.float32(scale)
