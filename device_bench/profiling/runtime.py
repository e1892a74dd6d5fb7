"""LiteRT's C interface with its profiler, by ctypes; only in a child process.

The Python classes of the wheel do not reach the profiler; the library beside them does. Its C
interface is not promised from version to version: `Runtime` says when something is not as expected.

Source: LiteRT's headers in litert/c: litert_compiled_model.h, litert_profiler.h,
litert_profiler_event.h and litert_model_types.h.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_HARDWARE_CPU = 1
_WRITE = 1
_MOST_DIMENSIONS = 8
_KERNEL_MODES = {"xnnpack": "delegate", "builtin": "builtin"}
# kTfLite… numbers of the dtypes that inputs have.
_ELEMENTS = {
    "float32": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 16,
}
_OPERATOR, _DELEGATED = 2, 8


class _TensorType(ctypes.Structure):
    _fields_ = [
        ("element", ctypes.c_int32),
        ("rank", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * _MOST_DIMENSIONS),
        ("strides", ctypes.c_uint32 * _MOST_DIMENSIONS),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_uint64 * 6),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int32),
    ]


@dataclass(frozen=True)
class Event:
    """Something that took time in a run.

    Attributes:
        name: Of the kernel, as the runtime has it.
        node: Number of the node in the graph, or in the delegate.
        delegated: Whether it ran inside a delegate.
        microseconds: How long; whole ones.
    """

    name: str
    node: int
    delegated: bool
    microseconds: int


class Runtime:
    """A compiled model with its profiler on.

    Args:
        path: Of the `.tflite`.
        kernels: `"xnnpack"` or `"builtin"`.
        threads: Of the kernels.

    Raises:
        RuntimeError: The library is not there, lacks a function, or reports an error.
    """

    def __init__(self, path: str, kernels: str, threads: int):
        self._library = _library()
        self._kept: list = []
        environment = self._made("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        self._environment = environment
        model = self._made("LiteRtCreateModelFromFile", environment, path.encode())
        options = self._made("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(_HARDWARE_CPU))
        self._add(options, b"runtime_options_string", b"enable_profiling = true\n")
        text = f'kernel_mode = "{_KERNEL_MODES[kernels]}"\nnum_threads = {threads}\n'
        self._add(options, b"xnnpack", text.encode())
        self._model = self._made("LiteRtCreateCompiledModel", environment, model, options)
        self._signature = self._made("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
        self._profiler = self._made("LiteRtCompiledModelGetProfiler", self._model)

    def set_up(self, inputs: Mapping[str, dict], outputs: Mapping[str, dict]) -> None:
        """Make buffers for inputs and outputs.

        Args:
            inputs: Details of the interpreter, by name.
            outputs: Alike.
        """
        self._inputs = self._buffers("Input", inputs)
        self._outputs = self._buffers("Output", outputs)

    def feed(self, values: Mapping[str, np.ndarray]) -> None:
        """Put stored values into the inputs."""
        for name, buffer in self._inputs.items():
            array = np.ascontiguousarray(values[name])
            place = self._made("LiteRtLockTensorBuffer", buffer, after=[ctypes.c_int(_WRITE)])
            ctypes.memmove(place, array.ctypes.data, array.nbytes)
            self._call("LiteRtUnlockTensorBuffer", buffer)

    def invoke(self) -> None:
        """Run once."""
        sides = []
        for buffers in (self._inputs, self._outputs):
            handles = (ctypes.c_void_p * len(buffers))(*(b.value for b in buffers.values()))
            sides += [ctypes.c_size_t(len(buffers)), handles]
        self._call("LiteRtRunCompiledModel", self._model, ctypes.c_size_t(0), *sides)

    def start(self) -> None:
        """Forget all events, and note those that come."""
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)

    def stop(self) -> list[Event]:
        """The kernels that ran since `start`, in their order."""
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int(0)
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * max(1, count.value))()
        if count.value:
            self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return [
            Event(
                (event.tag or b"").decode(errors="replace"),
                event.node,
                event.type == _DELEGATED,
                event.elapsed_us,
            )
            for event in events[: count.value]
            # Ops of a loop's body are in the time of the loop.
            if event.type == _DELEGATED or (event.type == _OPERATOR and event.subgraph == 0)
        ]

    def _buffers(self, side: str, details: Mapping[str, dict]) -> dict[str, ctypes.c_void_p]:
        found = {}
        count = ctypes.c_size_t(0)
        self._call(f"LiteRtGetNumSignature{side}s", self._signature, ctypes.byref(count))
        for number in range(count.value):
            index = ctypes.c_size_t(number)
            name = self._made(f"LiteRtGetSignature{side}Name", self._signature, index)
            name = ctypes.cast(name, ctypes.c_char_p).value.decode()
            needs = self._made(
                f"LiteRtGetCompiledModel{side}BufferRequirements",
                self._model,
                ctypes.c_size_t(0),
                index,
            )
            kind = _tensor_type(details[name])
            found[name] = self._made(
                "LiteRtCreateManagedTensorBufferFromRequirements",
                self._environment,
                ctypes.byref(kind),
                needs,
            )
            self._kept.append(kind)
        return found

    def _add(self, options, name: bytes, text: bytes) -> None:
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p
        payload = ctypes.c_void_p(libc.strdup(text))
        free = ctypes.cast(libc.free, ctypes.c_void_p)
        opaque = self._made("LiteRtCreateOpaqueOptions", name, payload, free)
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _made(self, name: str, *arguments, after=()) -> ctypes.c_void_p:
        """What the function puts into its last argument, or the one before `after`."""
        result = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(result), *after)
        return result

    def _call(self, name: str, *arguments) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise RuntimeError(f"LiteRT's library has no {name}")
        status = function(*arguments)
        if status:
            raise RuntimeError(f"{name} says {status}")


def _library() -> ctypes.CDLL:
    import ai_edge_litert

    path = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
    if not path.exists():
        raise RuntimeError(f"LiteRT's wheel has no {path.name} on this system")
    return ctypes.CDLL(str(path))


def _tensor_type(detail: Mapping) -> _TensorType:
    dtype = np.dtype(detail["dtype"]).name
    if dtype not in _ELEMENTS:
        raise RuntimeError(f"tensors of {dtype} are not profiled")
    shape = [int(size) for size in detail["shape"]]
    dimensions = (ctypes.c_int32 * _MOST_DIMENSIONS)(*shape)
    return _TensorType(_ELEMENTS[dtype], len(shape), dimensions)
