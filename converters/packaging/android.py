"""The folder for an Android app."""

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.inspection import inspect
from converters.one_line import one_line
from converters.packaging.android_interface import Tried, try_out
from converters.packaging.contract import as_json, contract, sha256
from converters.packaging.kotlin import model_runner
from converters.packaging.kotlin_interpreter import INTERPRETER_RELEASE, interpreter_runner
from converters.packaging.kotlin_text import release
from converters.packaging.metadata import LABELS_FILE, lines, with_metadata
from converters.packaging.ports import Ports
from converters.packaging.said import Said
from converters.packaging.sample import run
from converters.packaging.words import code, in_words, table
from converters.targets import TARGETS

# What an app may run a model on.
_RUNTIMES = ("litert", "litert-gpu")


def android_files(
    stem: str,
    source: Flatbuffer,
    ports: Ports,
    said: Said,
) -> dict[str, bytes | str]:
    """`{file name: content}` of the folder.

    Args:
        stem: Of the model's file name.
        source: The model.
        ports: Its inputs and outputs.
        said: What is known of it.

    Raises:
        ValueError: LiteRT cannot run the model.
    """
    file = f"{stem}.tflite"
    tried = try_out(source, ports)
    model = Flatbuffer(
        with_metadata(source.content, stem, ports, said.normalizations, said.labels, said.metadata)
    )
    if tried.sample is not None:
        _check_same(tried.outputs, run(model, tried.sample, "xnnpack"))
    found = contract("android", file, source, ports, said)
    found["model"] |= {"sha256": sha256(model.content), "bytes": model.size}
    found["sizes"] = {
        "raw_bytes": model.size,
        "gzip_bytes": model.gzip_size,
        "apk_bytes": model.size,
    }
    found["unsupported"] = _unsupported(source)
    found["kotlin"] = {"interface": tried.interface, "not_compiled_model": tried.reason}
    for port in found["outputs"]:
        values = tried.outputs.get(port["name"])
        port["shape_of_a_run"] = None if values is None else list(values.shape)
    files: dict[str, bytes | str] = {file: model.content}
    files |= _label_files(ports, said)
    if tried.interface == "CompiledModel":
        files["ModelRunner.kt"] = model_runner(file, ports)
    elif tried.interface == "InterpreterApi":
        files["ModelRunner.kt"] = interpreter_runner(file, ports, tried.reason)
    files["contract.json"] = as_json(found)
    files["CONTRACT.md"] = in_words(
        found,
        {
            "Into the app": _into_the_app(file, tried),
            "Size": _sizes(found["sizes"]),
            "What runs it": _verdicts(found["unsupported"]),
        },
    )
    return files


def _label_files(ports: Ports, said: Said) -> dict[str, str]:
    """`{file name: text}` of the names of classes, one file an output that has any."""
    found = said.all_labels(ports)
    if len(found) == 1:
        return {LABELS_FILE: lines(next(iter(found.values())))}
    places = {port.name: port.position for port in ports.outputs}
    return {f"labels_{places[name]}.txt": lines(names) for name, names in found.items()}


def _check_same(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> None:
    """Metadata must not change what the model computes."""
    for name, values in before.items():
        if values.tobytes() != after[name].tobytes():
            raise RuntimeError(f"with metadata, output {name!r} differs: please report this model")


def _unsupported(source: Flatbuffer) -> dict[str, list[dict]]:
    report = inspect(source)
    return {
        target: [
            {"index": op.index, "op": op.op, "reason": op.reason}
            for op in report.unsupported(target)
        ]
        for target in _RUNTIMES
    }


def _into_the_app(file: str, tried: Tried) -> list[str]:
    runner = "`ModelRunner.kt` runs it: give it the package of its place."
    release_needed = release()
    if tried.interface == "InterpreterApi":
        release_needed = INTERPRETER_RELEASE
        runner += (
            f" It uses `InterpreterApi`, of LiteRT {INTERPRETER_RELEASE}, and not CompiledModel: "
            f"{one_line(tried.reason)}."
        )
    elif tried.interface is None:
        runner = (
            f"There is no `ModelRunner.kt`: {one_line(tried.reason)}. Convert with `--edges "
            "float32`, or run the model with C++."
        )
    if tried.sample is None:
        runner += " At the sizes in the file it does not run: it has not been tried."
    return [
        f"{code(file)} belongs in `app/src/main/assets`. {runner}",
        "In `build.gradle.kts` of the app:",
        "",
        "```kotlin",
        "android {",
        '    androidResources { noCompress += "tflite" }',
        "}",
        "dependencies {",
        f'    implementation("com.google.ai.edge.litert:litert:{release_needed}")',
        "}",
        "```",
        "",
        "Inputs and outputs are counted as above, from 0.",
    ]


def _sizes(sizes: dict[str, int]) -> list[str]:
    return table(
        ["", "bytes"],
        [
            ["file", f"{sizes['raw_bytes']:,}"],
            ["download, by gzip", f"{sizes['gzip_bytes']:,}"],
            ["in the APK, stored uncompressed to be mapped", f"{sizes['apk_bytes']:,}"],
        ],
    )


def _verdicts(unsupported: dict[str, list[dict]]) -> list[str]:
    lines = []
    for name, ops in unsupported.items():
        verdict = f"not these ops; {TARGETS[name].elsewhere}" if ops else "every op"
        lines.append(f"- {TARGETS[name].runs}: {verdict}")
        lines += [f"  - {op['index']} {one_line(op['op'])}: {op['reason']}" for op in ops]
    return lines
