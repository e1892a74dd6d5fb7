"""A loaded model in LiteRT, by either of its interfaces; only in a child process."""

import contextlib
from collections.abc import Mapping

import numpy as np

from converters.loaded_signature import LoadedSignature


class InterpreterSession:
    """A model in `ai_edge_litert.interpreter.Interpreter`.

    Args:
        path: Of the `.tflite`.
        kernels: Out of `KERNELS`.
        threads: Of the kernels.
        signature: Key of the signature to run; None for the default one.
    """

    def __init__(self, path: str, kernels: str, threads: int, signature: str | None):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {
            "xnnpack": OpResolverType.AUTO,
            "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            "reference": OpResolverType.BUILTIN_REF,
        }
        self._interpreter = Interpreter(
            model_path=path, num_threads=threads, experimental_op_resolver_type=resolver[kernels]
        )
        self._loaded = LoadedSignature(self._interpreter, signature)
        self.inputs, self.outputs = self._loaded.inputs, self._loaded.outputs

    def allocate(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Set tensors aside, for inputs of those shapes."""
        self._loaded.allocate(shapes)

    def feed(self, values: Mapping[str, np.ndarray]) -> None:
        """Put stored values into the inputs."""
        self._loaded.feed(values)

    def invoke(self) -> None:
        """Run once."""
        self._loaded.invoke()

    @staticmethod
    def prepare(path: str, signature: str | None) -> None:
        """Do what is no part of loading a model."""

    def arena(self, tensors: list[int], count: int) -> int | None:
        """Bytes of tensors that LiteRT itself holds, shared ones once; not those in a delegate.

        None for a signature of another subgraph than the first, whose places LiteRT hides.

        Args:
            tensors: Those of the file that are not constant.
            count: Tensors of the file; those after them are scratch of LiteRT's kernels.
        """
        if self._loaded.subgraph:
            return None
        scratch = range(count, len(self._interpreter.get_tensor_details()))
        places = []
        for index in [*tensors, *scratch]:
            with contextlib.suppress(ValueError):  # not allocated
                view = self._interpreter.tensor(index)()
                if view is None:  # of a resource
                    continue
                start = view.__array_interface__["data"][0]
                places.append((start, start + view.nbytes))
        taken = end = 0
        for start, stop in sorted(places):
            taken += max(0, stop - max(start, end))
            end = max(end, stop)
        return taken

    def read(self) -> dict[str, np.ndarray]:
        """Stored values of the outputs, by name."""
        return {name: self._loaded.read(detail) for name, detail in self.outputs.items()}


class CompiledSession:
    """A model in `ai_edge_litert.compiled_model.CompiledModel`.

    Args:
        path: Of the `.tflite`.
        kernels: `"xnnpack"` or `"builtin"`.
        threads: Of the kernels.
        signature: Key of the signature to run; None for the default one.
    """

    def __init__(self, path: str, kernels: str, threads: int, signature: str | None):
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.cpu_kernel_mode import CpuKernelMode
        from ai_edge_litert.cpu_options import CpuOptions
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import Options

        modes = {
            "xnnpack": CpuKernelMode.DELEGATE,
            "builtin": CpuKernelMode.BUILTIN,
        }
        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads, kernel_mode=modes[kernels]),
        )
        self._model = CompiledModel.from_file(path, options=options)
        self._key, self.inputs, self.outputs = self._details
        self._index = 0 if self._key is None else self._model.get_signature_index(self._key)

    def allocate(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Set buffers aside, for inputs of those shapes."""
        for index, detail in enumerate(self._order(self.inputs, "inputs")):
            shape = list(shapes[detail["key"]])
            if shape != list(detail["shape"]):
                self._model.resize_input_tensor(index, shape, self._index, strict=False)
                detail["shape"] = np.array(shape)
        self._fed = self._model.create_input_buffers(self._index)
        self._made = self._model.create_output_buffers(self._index)

    def feed(self, values: Mapping[str, np.ndarray]) -> None:
        """Put stored values into the inputs."""
        for buffer, detail in zip(self._fed, self._order(self.inputs, "inputs"), strict=True):
            buffer.write(np.ascontiguousarray(values[detail["key"]]))

    def invoke(self) -> None:
        """Run once."""
        self._model.run_by_index(self._index, self._fed, self._made)

    @classmethod
    def prepare(cls, path: str, signature: str | None) -> None:
        """Read what only the interpreter knows: scales, zero points."""
        from ai_edge_litert import compiled_model  # noqa: F401  the first time it takes long
        from ai_edge_litert.interpreter import Interpreter

        loaded = LoadedSignature(Interpreter(model_path=path), signature)
        cls._details = loaded.key, loaded.inputs, loaded.outputs

    def arena(self, tensors: list[int], count: int) -> None:
        """None: this interface does not show where tensors are."""

    def read(self) -> dict[str, np.ndarray]:
        """Stored values of the outputs, by name."""
        found = {}
        for buffer, detail in zip(self._made, self._order(self.outputs, "outputs"), strict=True):
            shape = buffer.get_tensor_details()["shape"]
            values = buffer.read(int(np.prod(shape)), detail["dtype"])
            found[detail["key"]] = values.reshape(shape)
        return found

    def _order(self, details: Mapping[str, dict], side: str) -> list[dict]:
        """The details in the order of the buffers."""
        for name, detail in details.items():
            detail["key"] = name
        signature = self._model.get_signature_by_index(self._index)
        by_tensor = {detail["name"]: detail for detail in details.values()}
        return [details.get(name) or by_tensor[name] for name in signature[side]]


SESSIONS = {"interpreter": InterpreterSession, "compiled": CompiledSession}
