"""A loaded model in LiteRT, by either of its interfaces; only in a child process."""

import contextlib
from collections.abc import Mapping

import numpy as np

from converters.runner import signature_details


class InterpreterSession:
    """A model in `ai_edge_litert.interpreter.Interpreter`.

    Args:
        path: Of the `.tflite`.
        kernels: Out of `KERNELS`.
        threads: Of the kernels.
    """

    def __init__(self, path: str, kernels: str, threads: int):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {
            "xnnpack": OpResolverType.AUTO,
            "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            "reference": OpResolverType.BUILTIN_REF,
        }
        self._interpreter = Interpreter(
            model_path=path, num_threads=threads, experimental_op_resolver_type=resolver[kernels]
        )

    def allocate(self, batch: int | None) -> None:
        """Set tensors aside, for another batch size where one is given."""
        if batch is not None:
            for detail in self._interpreter.get_input_details():
                shape = [batch, *detail["shape"][1:]]
                self._interpreter.resize_tensor_input(detail["index"], shape)
        self._interpreter.allocate_tensors()
        self.inputs, self.outputs = signature_details(self._interpreter)

    def feed(self, values: Mapping[str, np.ndarray]) -> None:
        """Put stored values into the inputs."""
        for name, array in values.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], array)

    def invoke(self) -> None:
        """Run once."""
        self._interpreter.invoke()

    @staticmethod
    def prepare(path: str) -> None:
        """Do what is no part of loading a model."""

    def arena(self, tensors: list[int], count: int) -> int:
        """Bytes of tensors that LiteRT itself holds, shared ones once; not those in a delegate.

        Args:
            tensors: Those of the file that are not constant.
            count: Tensors of the file; those after them are scratch of LiteRT's kernels.
        """
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
        return {
            name: self._interpreter.get_tensor(detail["index"])
            for name, detail in self.outputs.items()
        }


class CompiledSession:
    """A model in `ai_edge_litert.compiled_model.CompiledModel`.

    Args:
        path: Of the `.tflite`.
        kernels: `"xnnpack"` or `"builtin"`.
        threads: Of the kernels.
    """

    def __init__(self, path: str, kernels: str, threads: int):
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
        self.inputs, self.outputs = self._details

    def allocate(self, batch: int | None) -> None:
        """Set buffers aside, for another batch size where one is given."""
        if batch is not None:
            for index, detail in enumerate(self._order(self.inputs, "inputs")):
                shape = [batch, *map(int, detail["shape"][1:])]
                self._model.resize_input_tensor(index, shape, strict=False)
                detail["shape"] = np.array(shape)
        self._fed = self._model.create_input_buffers(0)
        self._made = self._model.create_output_buffers(0)

    def feed(self, values: Mapping[str, np.ndarray]) -> None:
        """Put stored values into the inputs."""
        for buffer, detail in zip(self._fed, self._order(self.inputs, "inputs"), strict=True):
            buffer.write(np.ascontiguousarray(values[detail["key"]]))

    def invoke(self) -> None:
        """Run once."""
        self._model.run_by_index(0, self._fed, self._made)

    @classmethod
    def prepare(cls, path: str) -> None:
        """Read what only the interpreter knows: scales, zero points."""
        from ai_edge_litert import compiled_model  # noqa: F401  the first time it takes long
        from ai_edge_litert.interpreter import Interpreter

        cls._details = signature_details(Interpreter(model_path=path))

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
        signature = next(iter(self._model.get_signature_list().values()))
        by_tensor = {detail["name"]: detail for detail in details.values()}
        return [details.get(name) or by_tensor[name] for name in signature[side]]


SESSIONS = {"interpreter": InterpreterSession, "compiled": CompiledSession}
