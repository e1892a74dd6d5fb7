"""`golden.h` and `golden_test.c`: one run's input and output, for firmware to check itself by."""

from string import Template

import numpy as np

from converters.packaging.c_text import TYPES, array, guarded, number, string
from converters.packaging.model_data import fnv1a
from converters.packaging.model_settings import label
from converters.packaging.ports import Port, Ports
from converters.packaging.sample import Values
from converters.packaging.templates import template

# Steps by which integer kernels of different makers may differ.
STEPS = 1
# And share of the largest value by which float ones may.
_FLOAT_SHARE = 1e-4


def golden_header(
    name: str,
    about: str,
    content: bytes,
    ports: Ports,
    inputs: dict[str, Values],
    outputs: dict[str, Values],
) -> str:
    """The header with the vectors, and the function that firmware calls.

    Args:
        name: Of the model.
        about: Where the vectors come from, as a comment.
        content: The bytes of the model.
        ports: Its inputs and outputs.
        inputs: `{input name: Values}`.
        outputs: `{output name: Values}`.
    """
    parts = [
        "#include <math.h>\n#include <stdint.h>\n",
        f"#define GOLDEN_MODEL_SIZE {len(content)}u\n"
        f"#define GOLDEN_MODEL_FNV1A 0x{fnv1a(content):08x}u\n",
    ]
    for kind, group, values in (
        ("Input", ports.inputs, inputs),
        ("Output", ports.outputs, outputs),
    ):
        parts += [_vectors(label(kind, port, group), port, values[port.name]) for port in group]
    parts += [_check(ports, outputs)]
    return guarded(name, "golden.h", about, "\n".join(parts))


def golden_test(name: str, ports: Ports) -> str:
    """A C program that checks the folder on any computer."""
    blocks = []
    for port in ports.inputs:
        if port.scale is not None:
            blocks.append(_quantize_check(label("Input", port, ports.inputs), port))
    for port in ports.outputs:
        if port.scale is not None:
            blocks.append(_dequantize_check(label("Output", port, ports.outputs), port))
    names = [label("Output", port, ports.outputs) for port in ports.outputs]
    corrupt = []
    for broken, port in zip(names, ports.outputs, strict=True):
        given = ", ".join("corrupted" if n == broken else f"kGolden{n}" for n in names)
        corrupt.append(_corrupt_check(broken, port, given))
    return Template(template("golden_test.c")).substitute(
        name=name,
        golden=", ".join(f"kGolden{n}" for n in names),
        values="\n".join(blocks),
        corrupt="\n".join(corrupt),
    )


def _vectors(name: str, port: Port, values: Values) -> str:
    kind = TYPES[port.dtype]
    text = (
        f"static const {kind} kGolden{name}[{port.size}] = {{\n"
        f"{array(values.stored, port.dtype)}\n}};\n"
    )
    if port.scale is not None:
        text += (
            f"static const float kGolden{name}Real[{port.size}] = {{\n"
            f"{array(values.real, 'float32')}\n}};\n"
        )
    return text


def _check(ports: Ports, outputs: dict[str, Values]) -> str:
    parameters, blocks = [], []
    for port in ports.outputs:
        name = label("Output", port, ports.outputs)
        argument = "output" if name == "Output" else f"output{port.position}"
        parameters.append(f"const {TYPES[port.dtype]} *{argument}")
        apart = ""
        if port.integers is None:
            most = float(np.max(np.abs(outputs[port.name].real), initial=0.0))
            allowed = number(max(most, 1e-3) * _FLOAT_SHARE, "float32")
            # Written so that NaN, which is unequal to all, counts as wrong.
            wrong = f"!(fabsf({argument}[i] - kGolden{name}[i]) <= {allowed})"
        elif port.scale is None:
            wrong = f"{argument}[i] != kGolden{name}[i]"
        else:
            apart = f"    const int64_t apart = (int64_t){argument}[i] - kGolden{name}[i];\n"
            wrong = f"apart > {STEPS} || apart < -{STEPS}"
        blocks.append(
            f"  for (i = 0; i < {port.size}; ++i) {{\n{apart}    if ({wrong}) ++found;\n  }}\n"
        )
    return (
        "/* How many values of an output depart from the golden one; 0 is a pass. Integers may be\n"
        f"   {STEPS} step off, as kernels of different makers are. */\n"
        f"static inline int golden_check({', '.join(parameters)}) {{\n"
        f"  int i, found = 0;\n{''.join(blocks)}  return found;\n}}\n"
    )


def _quantize_check(name: str, port: Port) -> str:
    what = string(f"input '{port.name}', quantised, is the golden one")
    return f"""  wrong = 0;
  for (i = 0; i < k{name}Size; ++i) {{
    if (Quantize{name}(kGolden{name}Real[i]) != kGolden{name}[i]) ++wrong;
  }}
  check({what}, wrong == 0);
"""


def _dequantize_check(name: str, port: Port) -> str:
    what = string(f"output '{port.name}', dequantised, is within half a step")
    return f"""  wrong = 0;
  for (i = 0; i < k{name}Size; ++i) {{
    const float apart = Dequantize{name}(kGolden{name}[i]) - kGolden{name}Real[i];
    if (!(fabsf(apart) <= k{name}Scale / 2)) ++wrong;
  }}
  check({what}, wrong == 0);
"""


def _corrupt_check(name: str, port: Port, given: str) -> str:
    kind = TYPES[port.dtype]
    if port.integers is None:
        changed = f"kGolden{name}[0] + (fabsf(kGolden{name}[0]) + 1.0f)"
    elif port.dtype == "bool":
        changed = f"!kGolden{name}[0]"
    else:  # away from the end of the dtype's range
        changed = f"kGolden{name}[0] > 0 ? kGolden{name}[0] - 3 : kGolden{name}[0] + 3"
    return f"""  {{
    static {kind} corrupted[{port.size}];
    memcpy(corrupted, kGolden{name}, sizeof(corrupted));
    corrupted[0] = ({kind})({changed});
    check("golden_check finds a corrupted value", golden_check({given}) == 1);
  }}
"""
