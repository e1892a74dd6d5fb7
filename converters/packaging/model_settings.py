"""`model_settings.h`: memory, shapes and quantisation of a model, as constants of C and C++."""

from converters.packaging.arena import KERNELS, MARGIN_PERCENT, MicroRun
from converters.packaging.c_text import TYPES, comment, guarded, number, string
from converters.packaging.ports import Port, Ports

_CONSTANT = "MODEL_CONSTANT"


def model_settings(
    name: str, about: str, ports: Ports, run: MicroRun, labels: list[str] | None
) -> str:
    """The header.

    Args:
        name: Of the model.
        about: Where the model comes from, as a comment.
        ports: Its inputs and outputs.
        run: What it took in TensorFlow Lite Micro.
        labels: Names of the classes, where known.
    """
    parts = [
        f"""#include <math.h>
#include <stdint.h>

#ifdef __cplusplus
#define {_CONSTANT} constexpr
#else
#define {_CONSTANT} static const
#endif

/* Bytes of the tensor arena: {run.total} measured (head {run.head}, tail {run.tail}), and
   {MARGIN_PERCENT} % more. Measured by tflite-micro {run.version}, {KERNELS}.
   Pointers are half as long on a 32-bit core; kernels made for it may take other scratch memory.
   arena_used_bytes() tells there. */
{_CONSTANT} int kTensorArenaSize = {run.arena};
"""
    ]
    for kind, group in (("Input", ports.inputs), ("Output", ports.outputs)):
        parts.append(f"{_CONSTANT} int k{kind}Count = {len(group)};\n")
        parts += [_port(label(kind, port, group), kind, port) for port in group]
    if labels:
        listed = "\n".join(f"  {string(text)}," for text in labels)
        parts.append(f"static const char *const kLabels[{len(labels)}] = {{\n{listed}\n}};\n")
    parts.append(f"#undef {_CONSTANT}\n")
    return guarded(name, "model_settings.h", about, "\n".join(parts))


def label(kind: str, port: Port, group: tuple[Port, ...]) -> str:
    """`Input` in names of constants, or `Input1` where there are several."""
    return kind if len(group) == 1 else f"{kind}{port.position}"


def _port(name: str, kind: str, port: Port) -> str:
    layout = f", probably {port.layout}" if port.layout else ""
    shape = ", ".join(map(str, port.shape or (1,)))
    lines = [
        f'/* {kind} {port.position} "{comment(port.name)}": {port.dtype}{layout}; '
        f"real value = {port.formula} */",
        f"{_CONSTANT} int k{name}Shape[{max(1, len(port.shape))}] = {{{shape}}};",
        f"{_CONSTANT} int k{name}Size = {port.size};",
    ]
    if port.scale is not None:
        lines += [
            f"{_CONSTANT} float k{name}Scale = {number(port.scale, 'float32')};",
            f"{_CONSTANT} int k{name}ZeroPoint = {port.zero_point};",
            *(_quantize(name, port) if kind == "Input" else _dequantize(name, port)),
        ]
    return "\n".join(lines) + "\n"


def _quantize(name: str, port: Port) -> list[str]:
    low, high = port.integers
    return [
        f"static inline {TYPES[port.dtype]} Quantize{name}(float real) {{",
        f"  const float q = rintf(real / k{name}Scale) + (float)k{name}ZeroPoint;",
        f"  return ({TYPES[port.dtype]})(q < {low}.0f ? {low}.0f : q > {high}.0f ? {high}.0f : q);",
        "}",
    ]


def _dequantize(name: str, port: Port) -> list[str]:
    return [
        f"static inline float Dequantize{name}({TYPES[port.dtype]} q) {{",
        f"  return (float)(q - k{name}ZeroPoint) * k{name}Scale;",
        "}",
    ]
