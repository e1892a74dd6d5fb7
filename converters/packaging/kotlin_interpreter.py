"""`ModelRunner.kt` on LiteRT's InterpreterApi: for shapes that are known only when a model runs."""

from dataclasses import dataclass
from string import Template

from converters.packaging.kotlin_text import (
    BYTES,
    RESERVED,
    float_literal,
    formula,
    helpers,
    listed,
    plain,
    release,
    string,
)
from converters.packaging.ports import Port, Ports, identifiers
from converters.packaging.templates import template

# The last release for Android that has it.
INTERPRETER_RELEASE = "1.4.1"


@dataclass(frozen=True)
class _Kind:
    """The array's Kotlin type, bytes of a number, and how a buffer takes and gives the array."""

    array: str
    width: int
    buffer: str


_KINDS = {
    "float32": _Kind("FloatArray", 4, ".asFloatBuffer()"),
    "int8": _Kind("ByteArray", 1, ""),
    "uint8": _Kind("ByteArray", 1, ""),
    "int16": _Kind("ShortArray", 2, ".asShortBuffer()"),
    "int32": _Kind("IntArray", 4, ".asIntBuffer()"),
    "int64": _Kind("LongArray", 8, ".asLongBuffer()"),
    "bool": _Kind("BooleanArray", 1, ""),
}


def unknown_dtypes(ports: Ports) -> list[str]:
    """The dtypes at the edges that InterpreterApi does not take."""
    every = (*ports.inputs, *ports.outputs)
    wide = {p.dtype for p in every if p.scale is not None and p.dtype not in BYTES}
    return sorted({p.dtype for p in every if p.dtype not in _KINDS} | wide)


def interpreter_runner(file: str, ports: Ports, reason: str) -> str:
    """The source of a class that runs a model.

    Args:
        file: Name of the model in the app's assets.
        ports: Its inputs and outputs, of dtypes that InterpreterApi takes.
        reason: Why CompiledModel does not do.
    """
    inputs = identifiers((p.name for p in ports.inputs), RESERVED)
    outputs = identifiers((p.name for p in ports.outputs), RESERVED)
    fields, reads, parameters, resizes = [], [], [], []
    for name, port in zip(outputs, ports.outputs, strict=True):
        fields += [f"val {name}: {_array(port)}", f"val {name}Shape: IntArray"]
        tensor = f"model.getOutputTensor({port.position})"
        reads += [f"            {_read(port, tensor)},", f"            {tensor}.shape(),"]
    for name, port in zip(inputs, ports.inputs, strict=True):
        parameters.append(f"{name}: {_array(port)}")
        size = str(port.size)
        if port.open_shape != port.shape:
            parameters.append(f"{name}Shape: IntArray")
            resizes.append(f"        model.resizeInput({port.position}, {name}Shape)")
            size = f"elements({name}Shape)"
        resizes.append(
            f'        require({name}.size == {size}) {{ "{name} must hold ${{{size}}} values" }}'
        )
    quantized = [p for p in (*ports.inputs, *ports.outputs) if p.scale is not None]
    rounds = any(p.scale is not None for p in ports.inputs)
    return Template(template("InterpreterRunner.kt")).substitute(
        file=plain(file),
        asset=string(file),
        reason=plain(reason),
        release=release(),
        interpreter_release=INTERPRETER_RELEASE,
        imports="import kotlin.math.round\n" if rounds else "",
        fields=listed(fields),
        document="\n".join(
            f"     * {kind} `{plain(p.name)}`: {_array(p)}, {_shape(p)}"
            for kind, group in (("Input", ports.inputs), ("Output", ports.outputs))
            for p in group
        ),
        parameters=listed(parameters),
        resize="\n".join(resizes),
        feed=listed(_feed(name, p) for name, p in zip(inputs, ports.inputs, strict=True)),
        read="\n".join(reads),
        helpers=_buffers(ports) + (helpers(ports) if quantized else ""),
    )


def _array(port: Port) -> str:
    return "FloatArray" if port.scale is not None else _KINDS[port.dtype].array


def _shape(port: Port) -> str:
    found = formula(port)
    if port.open_shape == port.shape:
        return found
    sides = "×".join("any" if side < 0 else str(side) for side in port.open_shape)
    return f"{sides}; {found} in the file"


def _feed(name: str, port: Port) -> str:
    values = name
    if port.scale is not None:
        low, high = port.integers
        scale = float_literal(port.scale)
        values = f"quantize({name}, {scale}, {port.zero_point}, {low}, {high})"
    return f"{port.dtype}Buffer({values})"


def _read(port: Port, tensor: str) -> str:
    values = f"{port.dtype}Array({tensor})"
    if port.scale is None:
        return values
    function = "dequantizeUnsigned" if port.dtype == "uint8" else "dequantize"
    return f"{function}({values}, {float_literal(port.scale)}, {port.zero_point})"


def _buffers(ports: Ports) -> str:
    """Functions between arrays and the interpreter's buffers, of the dtypes at the edges."""
    found = ""
    for dtype in sorted({p.dtype for p in ports.inputs}):
        kind = _KINDS[dtype]
        put = f"it{kind.buffer}.put(values)"
        if dtype == "bool":
            put = "values.forEachIndexed { i, value -> it.put(i, (if (value) 1 else 0).toByte()) }"
        found += f"""
    private fun {dtype}Buffer(values: {kind.array}) =
        direct({kind.width} * values.size).also {{ {put}{_rewind(kind)} }}
"""
    for dtype in sorted({p.dtype for p in ports.outputs}):
        kind = _KINDS[dtype]
        get = f"also {{ tensor.asReadOnlyBuffer(){kind.buffer}.get(it) }}"
        made = f"{kind.array}(tensor.numElements()).{get}"
        if dtype == "bool":
            made = (
                "tensor.asReadOnlyBuffer().let { bytes ->\n"
                "            BooleanArray(tensor.numElements()) { bytes.get(it) != 0.toByte() }\n"
                "        }"
            )
        found += f"""
    private fun {dtype}Array(tensor: Tensor) =
        {made}
"""
    return found


def _rewind(kind: _Kind) -> str:
    """Bytes are put into the buffer itself, whose place moves."""
    return "; it.rewind()" if not kind.buffer and kind.array == "ByteArray" else ""
