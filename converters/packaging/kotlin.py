"""`ModelRunner.kt`: the model behind one function of real values, on LiteRT's CompiledModel."""

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


@dataclass(frozen=True)
class _Kind:
    """How a dtype is written and read: the method's ending and the array's Kotlin type."""

    method: str
    array: str


# What TensorBuffer has methods for.
_KINDS = {
    "float32": _Kind("Float", "FloatArray"),
    "int8": _Kind("Int8", "ByteArray"),
    "uint8": _Kind("Int8", "ByteArray"),  # the same bytes
    "int32": _Kind("Int", "IntArray"),
    "int64": _Kind("Long", "LongArray"),
    "bool": _Kind("Boolean", "BooleanArray"),
}


def unsupported_dtypes(ports: Ports) -> list[str]:
    """The dtypes at the edges for which CompiledModel's buffers have no methods."""
    every = [*ports.inputs, *ports.outputs]
    quantized = [p.dtype for p in every if p.scale is not None and p.dtype not in BYTES]
    return sorted({*quantized, *(p.dtype for p in every if p.dtype not in _KINDS)})


def model_runner(file: str, ports: Ports) -> str:
    """The source of a class that runs a model.

    Args:
        file: Name of the model in the app's assets.
        ports: Its inputs and outputs, of dtypes that CompiledModel's buffers take.
    """
    inputs = identifiers((p.name for p in ports.inputs), RESERVED)
    outputs = identifiers((p.name for p in ports.outputs), RESERVED)
    several = len(outputs) > 1
    result = ""
    if several:
        fields = listed(
            f"val {name}: {_array(p)}" for name, p in zip(outputs, ports.outputs, strict=True)
        )
        result = f"\n    class Outputs({fields})\n"
    reads = [_read(p) for p in ports.outputs]
    read = f"        return {reads[0]}"
    if several:
        read = "\n".join(
            ["        return Outputs(", *(f"            {line}," for line in reads), "        )"]
        )
    quantized = [p for p in (*ports.inputs, *ports.outputs) if p.scale is not None]
    return Template(template("ModelRunner.kt")).substitute(
        file=plain(file),
        asset=string(file),
        release=release(),
        imports="import kotlin.math.round\n"
        if any(p.scale is not None for p in ports.inputs)
        else "",
        result=result,
        document="\n".join(
            f"     * {kind} `{plain(p.name)}`: {_array(p)} of {p.size}, {formula(p)}"
            for kind, group in (("Input", ports.inputs), ("Output", ports.outputs))
            for p in group
        ),
        parameters=listed(
            f"{name}: {_array(p)}" for name, p in zip(inputs, ports.inputs, strict=True)
        ),
        returns="Outputs" if several else _array(ports.outputs[0]),
        write="\n".join(_write(name, p) for name, p in zip(inputs, ports.inputs, strict=True)),
        read=read,
        helpers=helpers(ports) if quantized else "",
    )


def _array(port: Port) -> str:
    return "FloatArray" if port.scale is not None else _KINDS[port.dtype].array


def _write(name: str, port: Port) -> str:
    values = name
    if port.scale is not None:
        low, high = port.integers
        values = f"quantize({name}, {float_literal(port.scale)}, {port.zero_point}, {low}, {high})"
    return (
        f'        require({name}.size == {port.size}) {{ "{name} must hold {port.size} values" }}\n'
        f"        inputs[{port.position}].write{_KINDS[port.dtype].method}({values})"
    )


def _read(port: Port) -> str:
    values = f"outputs[{port.position}].read{_KINDS[port.dtype].method}()"
    if port.scale is None:
        return values
    function = "dequantizeUnsigned" if port.dtype == "uint8" else "dequantize"
    return f"{function}({values}, {float_literal(port.scale)}, {port.zero_point})"
