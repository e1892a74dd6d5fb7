"""`model_settings.h`: memory, shapes and quantization of a model, as constants of C and C++.

All names begin with that of the model, so that a program takes several.
"""

from collections.abc import Mapping

from converters.packaging.arena import ALIGNMENT, KERNELS, MARGIN_PERCENT, MicroRun
from converters.packaging.c_text import TYPES, comment, guarded, number, string
from converters.packaging.ports import Port, Ports


def model_settings(
    name: str, about: str, ports: Ports, run: MicroRun, labels: Mapping[str, list[str]]
) -> str:
    """The header.

    Args:
        name: Of the model.
        about: Where the model comes from, as a comment.
        ports: Its inputs and outputs.
        run: What it took in TensorFlow Lite Micro.
        labels: `{output name: names of its classes}` where known.
    """
    parts = [
        f"""#include <math.h>
#include <stdint.h>

/* Bytes of the tensor arena, which must begin at a multiple of {ALIGNMENT}: {run.least} are the
   fewest in which the model ran, and {MARGIN_PERCENT} % more. Measured by tflite-micro
   {run.version}, {KERNELS}. Pointers are half as long on a 32-bit core; kernels
   made for it may take other scratch memory. arena_used_bytes() tells there. */
{_integer(f"{name}_kTensorArenaSize", run.arena)}
"""
    ]
    for kind, group in (("Input", ports.inputs), ("Output", ports.outputs)):
        parts.append(_integer(f"{name}_k{kind}Count", len(group)) + "\n")
        parts += [_port(name, label(kind, port, group), kind, port) for port in group]
    for port in ports.outputs:
        if port.name in labels:
            place = label("Output", port, ports.outputs).removeprefix("Output")
            parts.append(_labels(f"{name}_kLabels{place}", labels[port.name]))
    return guarded(name, "model_settings.h", about, "\n".join(parts))


def _labels(name: str, labels: list[str]) -> str:
    listed = "\n".join(f"  {string(text)}," for text in labels)
    return f"static const char *const {name}[{len(labels)}] = {{\n{listed}\n}};\n"


def label(kind: str, port: Port, group: tuple[Port, ...]) -> str:
    """`Input` in names of constants, or `Input1` where there are several."""
    return kind if len(group) == 1 else f"{kind}{port.position}"


def _integer(name: str, value: int) -> str:
    """A constant that C takes as an array's size too."""
    return f"enum {{ {name} = {value} }};"


def _port(name: str, port_name: str, kind: str, port: Port) -> str:
    layout = f", probably {port.layout}" if port.layout else ""
    shape = ", ".join(map(str, port.shape or (1,)))
    lines = [
        f'/* {kind} {port.position} "{comment(port.name)}": {port.dtype}{layout}; '
        f"real value = {port.formula} */",
        f"static const int {name}_k{port_name}Shape[{max(1, len(port.shape))}] = {{{shape}}};",
        _integer(f"{name}_k{port_name}Size", port.size),
    ]
    if port.scale is not None:
        constant = f"{name}_k{port_name}"
        lines += [
            f"static const float {constant}Scale = {number(port.scale, 'float32')};",
            _integer(f"{constant}ZeroPoint", port.zero_point),
        ]
        if kind == "Input":
            lines += _quantize(f"{name}_Quantize{port_name}", constant, port)
        else:
            lines += _dequantize(f"{name}_Dequantize{port_name}", constant, port)
    return "\n".join(lines) + "\n"


def _quantize(function: str, constant: str, port: Port) -> list[str]:
    low, high = port.integers
    kind = TYPES[port.dtype]
    return [
        "/* What is not a number is stored as 0.0; what is beyond the range, as its end. */",
        f"static inline {kind} {function}(float real) {{",
        f"  const float q = rintf(real / {constant}Scale) + (float){constant}ZeroPoint;",
        f"  if (real != real) return ({kind}){constant}ZeroPoint;",
        f"  return ({kind})(q > {low}.0f ? (q < {high}.0f ? q : {high}.0f) : {low}.0f);",
        "}",
    ]


def _dequantize(function: str, constant: str, port: Port) -> list[str]:
    return [
        f"static inline float {function}({TYPES[port.dtype]} q) {{",
        f"  return (float)(q - {constant}ZeroPoint) * {constant}Scale;",
        "}",
    ]
