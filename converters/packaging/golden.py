"""`golden.h` and `golden_test.c`: one run's input and output, for firmware to check itself by.

All names begin with that of the model, so that a program takes several.
"""

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
        f"#define {name}_GOLDEN_MODEL_SIZE {len(content)}u\n"
        f"#define {name}_GOLDEN_MODEL_FNV1A 0x{fnv1a(content):08x}u\n",
    ]
    for kind, group, values in (
        ("Input", ports.inputs, inputs),
        ("Output", ports.outputs, outputs),
    ):
        for port in group:
            parts.append(_vectors(golden_name(name, kind, port, group), port, values[port.name]))
    parts += [_check(name, ports, outputs)]
    return guarded(name, "golden.h", about, "\n".join(parts))


def golden_name(name: str, kind: str, port: Port, group: tuple[Port, ...]) -> str:
    """What the golden vector of an input or output is called."""
    return f"{name}_kGolden{label(kind, port, group)}"


def golden_test(name: str, ports: Ports) -> str:
    """A C program that checks the folder on any computer."""
    blocks = []
    for port in ports.inputs:
        if port.scale is not None:
            blocks.append(_quantize_check(name, label("Input", port, ports.inputs), port))
    for port in ports.outputs:
        if port.scale is not None:
            blocks.append(_dequantize_check(name, label("Output", port, ports.outputs), port))
    names = [golden_name(name, "Output", port, ports.outputs) for port in ports.outputs]
    corrupt = []
    for broken, port in zip(names, ports.outputs, strict=True):
        given = ", ".join("corrupted" if n == broken else n for n in names)
        corrupt.append(_corrupt_check(name, broken, port, given))
    return Template(template("golden_test.c")).substitute(
        name=name,
        golden=", ".join(names),
        values="\n".join(blocks),
        corrupt="\n".join(corrupt),
    )


def departures(port: Port, golden: Values, stored: np.ndarray) -> int:
    """How many values `golden_check` would count that an output departs from the golden one by."""
    found = np.asarray(stored).ravel()
    expected = golden.stored.ravel()
    if port.integers is None:
        near = np.abs(found.astype(np.float32) - expected) <= np.float32(_allowed(golden))
        return int(found.size - np.count_nonzero(near))
    apart = np.abs(found.astype(object) - expected.astype(object))
    return int(np.count_nonzero(apart > (0 if port.scale is None else STEPS)))


def _allowed(golden: Values) -> float:
    most = float(np.max(np.abs(golden.real), initial=0.0))
    return max(most, 1e-3) * _FLOAT_SHARE


def _vectors(vector: str, port: Port, values: Values) -> str:
    kind = TYPES[port.dtype]
    text = (
        f"static const {kind} {vector}[{port.size}] = {{\n{array(values.stored, port.dtype)}\n}};\n"
    )
    if port.scale is not None:
        text += (
            f"static const float {vector}Real[{port.size}] = {{\n"
            f"{array(values.real, 'float32')}\n}};\n"
        )
    return text


def _check(name: str, ports: Ports, outputs: dict[str, Values]) -> str:
    parameters, blocks = [], []
    for port in ports.outputs:
        vector = golden_name(name, "Output", port, ports.outputs)
        argument = "output" if len(ports.outputs) == 1 else f"output{port.position}"
        parameters.append(f"const {TYPES[port.dtype]} *{argument}")
        apart = ""
        if port.integers is None:
            allowed = number(_allowed(outputs[port.name]), "float32")
            # Written so that NaN, which is unequal to all, counts as wrong.
            wrong = f"!(fabsf({argument}[i] - {vector}[i]) <= {allowed})"
        elif port.scale is None:
            wrong = f"{argument}[i] != {vector}[i]"
        else:
            apart = f"    const int64_t apart = (int64_t){argument}[i] - {vector}[i];\n"
            wrong = f"apart > {STEPS} || apart < -{STEPS}"
        blocks.append(
            f"  for (i = 0; i < {port.size}; ++i) {{\n{apart}    if ({wrong}) ++found;\n  }}\n"
        )
    return (
        "/* How many values of an output depart from the golden one; 0 is a pass. Integers may be\n"
        f"   {STEPS} step off, as kernels of different makers are. */\n"
        f"static inline int {name}_golden_check({', '.join(parameters)}) {{\n"
        f"  int i, found = 0;\n{''.join(blocks)}  return found;\n}}\n"
    )


def _quantize_check(name: str, port_name: str, port: Port) -> str:
    what = string(f"input '{port.name}', quantized, is the golden one")
    vector = f"{name}_kGolden{port_name}"
    return f"""  wrong = 0;
  for (i = 0; i < {name}_k{port_name}Size; ++i) {{
    if ({name}_Quantize{port_name}({vector}Real[i]) != {vector}[i]) ++wrong;
  }}
  check({what}, wrong == 0);
"""


def _dequantize_check(name: str, port_name: str, port: Port) -> str:
    what = string(f"output '{port.name}', dequantized, is within half a step")
    vector = f"{name}_kGolden{port_name}"
    return f"""  wrong = 0;
  for (i = 0; i < {name}_k{port_name}Size; ++i) {{
    const float apart = {name}_Dequantize{port_name}({vector}[i]) - {vector}Real[i];
    if (!(fabsf(apart) <= {name}_k{port_name}Scale / 2)) ++wrong;
  }}
  check({what}, wrong == 0);
"""


def _corrupt_check(name: str, vector: str, port: Port, given: str) -> str:
    kind = TYPES[port.dtype]
    if port.integers is None:
        changed = f"{vector}[0] + (fabsf({vector}[0]) + 1.0f)"
    elif port.dtype == "bool":
        changed = f"!{vector}[0]"
    else:  # away from the end of the dtype's range
        changed = f"{vector}[0] > 0 ? {vector}[0] - 3 : {vector}[0] + 3"
    return f"""  {{
    static {kind} corrupted[{port.size}];
    memcpy(corrupted, {vector}, sizeof(corrupted));
    corrupted[0] = ({kind})({changed});
    check("golden_check finds a corrupted value", {name}_golden_check({given}) == 1);
  }}
"""
