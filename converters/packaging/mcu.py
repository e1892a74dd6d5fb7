"""The folder for firmware with TensorFlow Lite Micro."""

from string import Template

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.inspection import inspect
from converters.micro_custom_ops import ETHOS_U
from converters.one_line import one_line
from converters.packaging.arena import ALIGNMENT, KERNELS, MARGIN_PERCENT
from converters.packaging.c_text import TYPES, c_identifier, comment, guarded
from converters.packaging.contract import as_json, contract, used_ops
from converters.packaging.golden import STEPS, golden_header, golden_name, golden_test
from converters.packaging.golden_run import golden_run
from converters.packaging.model_data import model_header, model_source
from converters.packaging.model_settings import model_settings
from converters.packaging.op_resolver import CUSTOM, MICRO_ONLY, op_resolver
from converters.packaging.ports import Port, Ports
from converters.packaging.said import Said
from converters.packaging.sample import Values
from converters.packaging.templates import template
from converters.packaging.words import code, in_words, table
from converters.samples import Samples
from converters.targets import describe_target

# Further from LiteRT's reference kernels than that, by the largest value and in steps, is wrong:
# loops that feed a state back are some steps off.
_MOST_APART, _MOST_STEPS = 0.02, 8


def mcu_files(
    stem: str,
    source: Flatbuffer,
    ports: Ports,
    said: Said,
    sample: Samples | None,
) -> dict[str, str]:
    """`{file name: content}` of the folder.

    Args:
        stem: Of the model's file name, from which its name in code comes.
        source: The model.
        ports: Its inputs and outputs.
        said: What is known of it.
        sample: The golden input; None for seeded noise.

    Raises:
        ValueError: TensorFlow Lite Micro cannot run the model.
        ImportError: tflite-micro is not installed.
    """
    name = c_identifier(stem)
    _check_dtypes(ports)
    used = used_ops(source.content)
    _check_where(used)
    resolver = op_resolver(name, (op["name"] for op in used))
    _check_ops(source)
    only_micro = any(op["name"] in MICRO_ONLY for op in used)
    golden = golden_run(source, ports, sample, only_micro)
    micro = golden.micro
    found = contract("mcu", f"g_{name} in model_data.cc", source, ports, said)
    found["runtime"]["tflite_micro"] = micro.version
    found["arena"] = {
        "head": micro.head,
        "tail": micro.tail,
        "total": micro.total,
        "least": micro.least,
        "margin_percent": MARGIN_PERCENT,
        "recommended": micro.arena,
        "alignment": ALIGNMENT,
        "measured_with": KERNELS,
    }
    found["golden"] = {
        "input": golden.origin,
        "against_litert": golden.litert and _differences(ports, golden.outputs, golden.litert),
        "not_compared": golden.refusal,
        "silent_outputs": list(golden.silent),
        "allowed_steps": STEPS,
    }
    digest = found["model"]["source_sha256"]
    about = _comment(
        f"Made by `edgekit package` from {stem}.tflite, {source.size} bytes, sha256", digest
    )
    vectors = _comment(
        f"One run of {stem}.tflite: {found['golden']['input']}, and what tflite-micro "
        f"{micro.version} gives for it. sha256 of the model:",
        digest,
    )
    return {
        "model_data.h": model_header(name, about),
        "model_data.cc": model_source(name, about, source.content),
        "model_settings.h": model_settings(name, about, ports, micro, said.all_labels(ports)),
        "op_resolver.h": guarded(name, "op_resolver.h", about, resolver),
        "golden.h": golden_header(
            name, vectors, source.content, ports, golden.inputs, golden.outputs
        ),
        "golden_test.c": golden_test(name, ports),
        "main_example.cc": _main_example(name, ports, used),
        "contract.json": as_json(found),
        "CONTRACT.md": in_words(
            found,
            {
                "Memory": _memory(name, found["arena"], source),
                "Golden vector": _golden(name, found["golden"]),
                "Into the firmware": _into_the_firmware(name),
            },
        ),
    }


def _check_dtypes(ports: Ports) -> None:
    for port in (*ports.inputs, *ports.outputs):
        if port.dtype not in TYPES:
            raise ValueError(
                f"{port.name!r} is of dtype {port.dtype}, which TensorFlow Lite Micro does not "
                "take: convert to float32, int8 or int16x8"
            )
        if port.open_shape[1:] != port.shape[1:]:
            raise ValueError(
                f"{port.name!r} has the open shape {list(port.open_shape)}, and TensorFlow Lite "
                "Micro plans its memory once: convert with fixed shapes"
            )


def _check_where(used: list[dict]) -> None:
    """Refuse what runs on a device alone, where neither arena nor golden vector can be known."""
    if any(op["name"] == ETHOS_U for op in used):
        raise ValueError(
            "Vela has compiled this model for an Ethos-U: it runs on that processor alone, so that "
            "the arena cannot be tried nor the golden vector be made here. Package the .tflite "
            "that Vela was given, and put Vela's bytes in the place of model_data.cc's: inputs, "
            "outputs and their scales are the same, `AddEthosU` is the op to register, and Vela's "
            "summary has the size of the arena"
        )


def _check_ops(source: Flatbuffer) -> None:
    """Refuse what tflite-micro would refuse, or compute wrongly without a word."""
    found = inspect(source).unsupported("tflite-micro")
    found = [op for op in found if op.op not in CUSTOM]
    if found:
        verdict = describe_target("tflite-micro", found)
        raise ValueError(
            f"TensorFlow Lite Micro cannot run this model: {verdict}. "
            "Convert to float32, int8 or int16x8"
        )


def _differences(
    ports: Ports, outputs: dict[str, Values], expected: dict[str, np.ndarray]
) -> dict[str, dict]:
    """The largest difference of each output from LiteRT's reference kernels."""
    found = {}
    for port in ports.outputs:
        real = outputs[port.name].real.astype(np.float64)
        apart = np.max(np.abs(real - expected[port.name].astype(np.float64)), initial=0.0)
        steps = None if port.scale is None else round(float(apart) / port.scale)
        _check_close(port, float(apart), steps, expected[port.name])
        found[port.name] = {"largest_difference": float(apart), "steps": steps}
    return found


def _check_close(port: Port, apart: float, steps: int | None, expected: np.ndarray) -> None:
    """Refuse a golden vector that LiteRT would call wrong."""
    largest = float(np.max(np.abs(expected), initial=0.0))
    if apart > _MOST_APART * max(largest, 1e-6) and (steps is None or steps > _MOST_STEPS):
        raise ValueError(
            f"output {port.name!r} of tflite-micro is {apart:.3g} from LiteRT's on the golden "
            f"input, where the largest value is {largest:.3g}: its kernels compute this file "
            "wrongly. Convert to int8 or float32"
        )


def _comment(text: str, digest: str) -> str:
    return f"/* {comment(text)}\n   {digest} */"


def _main_example(name: str, ports: Ports, used: list[dict]) -> str:
    variables = sum(op["count"] for op in used if op["name"] == "VAR_HANDLE")
    interpreter = (
        "  static tflite::MicroInterpreter interpreter(model, resolver, tensor_arena,\n"
        f"                                              {name}_kTensorArenaSize);"
    )
    if variables:
        interpreter = (
            "  tflite::MicroAllocator* allocator =\n"
            f"      tflite::MicroAllocator::Create(tensor_arena, {name}_kTensorArenaSize);\n"
            "  static tflite::MicroInterpreter interpreter(\n"
            "      model, resolver, allocator,\n"
            f"      tflite::MicroResourceVariables::Create(allocator, {variables}));"
        )
    copies = []
    for port in ports.inputs:
        vector = golden_name(name, "Input", port, ports.inputs)
        copies.append(
            f"  std::memcpy(interpreter.input({port.position})->data.raw, {vector}, "
            f"sizeof({vector}));"
        )
    outputs = (
        f"interpreter.typed_output_tensor<{TYPES[port.dtype]}>({port.position})"
        for port in ports.outputs
    )
    return Template(template("main_example.cc")).substitute(
        name=name,
        interpreter=interpreter,
        inputs="\n".join(copies),
        outputs=",\n                                 ".join(outputs),
    )


def _memory(name: str, arena: dict, source: Flatbuffer) -> list[str]:
    return [
        *table(
            ["", "bytes"],
            [
                ["flash: the model", f"{source.size:,}"],
                ["RAM: arena, the least in which the model ran", f"{arena['least']:,}"],
                ["of it tensors (head)", f"{arena['head']:,}"],
                ["of it structures and scratch memory (tail)", f"{arena['tail']:,}"],
                [
                    "of it what planning the memory takes for a while",
                    f"{arena['least'] - arena['total']:,}",
                ],
                [
                    f"`{name}_kTensorArenaSize`, {arena['margin_percent']} % more",
                    f"{arena['recommended']:,}",
                ],
            ],
        ),
        "",
        f"Measured with tflite-micro's {arena['measured_with']}, by running the model in arenas of "
        f"more and more bytes that begin at a multiple of {arena['alignment']}. Pointers are half "
        "as long on a 32-bit core; kernels made for it may take other scratch memory. "
        "`arena_used_bytes()` tells on the device. Code is not counted.",
    ]


def _golden(name: str, golden: dict) -> list[str]:
    lines = [f"The input is {golden['input']}. Against LiteRT's reference kernels:", ""]
    if golden["against_litert"] is None:
        lines.append(f"- not compared: {one_line(golden['not_compared'])}")
    for output, apart in (golden["against_litert"] or {}).items():
        steps = "" if apart["steps"] is None else f", {apart['steps']} steps"
        lines.append(f"- {code(output)}: at most {apart['largest_difference']:.3g} apart{steps}")
    if golden["silent_outputs"]:
        lines += [
            "",
            f"**Not a check of {', '.join(map(code, golden['silent_outputs']))}**: on this input "
            "that output is what memory holds before the model runs, so that firmware which never "
            "runs it passes. Package with a `sample` (`--sample`) that gives another output.",
        ]
    return [
        *lines,
        "",
        f"Firmware runs `{name}_kGoldenInput` and gives the outputs to `{name}_golden_check`, "
        f"which counts the values more than {golden['allowed_steps']} step off. "
        "`golden_test.c` checks the folder itself, on any computer; its first lines say how.",
    ]


def _into_the_firmware(name: str) -> list[str]:
    return [
        f"Compile `model_data.cc`, and run the model as `main_example.cc` does: `g_{name}` in "
        f"`{name}::OpResolver`, with an arena of `{name}_kTensorArenaSize` bytes. Quantize with "
        "`model_settings.h`. The versions of the ops below came with LiteRT; a TensorFlow Lite "
        "Micro from before September 2024 refuses a FULLY_CONNECTED with a scale per channel. "
        "Several models go into one firmware: all names begin with that of their model.",
    ]
