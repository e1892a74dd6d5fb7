"""A contract in words: `CONTRACT.md`."""

import re

from converters.one_line import one_line
from converters.packaging.contract import NOT_KNOWN

_AXES = {
    "NC": "batch, values",
    "NTC": "batch, time, channels",
    "NHWC": "batch, height, width, channels",
    "NCHW": "batch, channels, height, width",
    "NDHWC": "batch, depth, height, width, channels",
}


def in_words(found: dict, sections: dict[str, list[str]]) -> str:
    """A contract as Markdown.

    Args:
        found: From `contract`.
        sections: `{heading: lines}` of what only the target has.
    """
    model = found["model"]
    lines = [f"# {code(model['file'])}: what to feed it, and what it gives", ""]
    lines += [f"- sha256 of the model: `{model.get('sha256', model['source_sha256'])}`"]
    if model.get("sha256", model["source_sha256"]) != model["source_sha256"]:
        lines += [f"- sha256 before the metadata were added: `{model['source_sha256']}`"]
    signature = code(model["signature"]) if model["signature"] else "none: tensors by their names"
    lines += [f"- signature: {signature}", f"- tried with {_runtimes(found['runtime'])}"]
    for key, value in found["metadata"].items():
        if value:
            lines.append(f"- {key} in the file's metadata: {code(value)}")
    lines.append("")
    for kind in ("inputs", "outputs"):
        lines += [f"## {kind.capitalize()}", ""]
        for port in found[kind]:
            lines += _port(port, kind == "inputs")
    for heading, text in sections.items():
        lines += [f"## {heading}", "", *text, ""]
    lines += ["## Ops", "", *table(["op", "version", "count"], _ops(found["ops"])), ""]
    return "\n".join(lines)


def code(text: str) -> str:
    """A name from a file as Markdown's code, in one line, whatever it holds."""
    plain = one_line(text)
    ticks = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    return f"{ticks} {plain} {ticks}" if len(ticks) > 1 or not plain else f"`{plain}`"


def _runtimes(runtime: dict) -> str:
    tried = f"the Python package ai-edge-litert {runtime['litert']}"
    if "tflite_micro" in runtime:
        tried += f" and tflite-micro {runtime['tflite_micro']}"
    return f"{tried}, on {runtime['machine']}"


def table(columns: list[str], rows: list[list]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(_cell(c) for c in row) + " |" for row in rows),
    ]


def _cell(value) -> str:
    return one_line(str(value)).replace("|", "\\|")


def _ops(ops: list[dict]) -> list[list]:
    return [[op["name"], op["version"], op["count"]] for op in ops]


def _port(port: dict, is_input: bool) -> list[str]:
    name = code(port["name"])
    lines = [f"**{port['position']}: {name}**, {by_x(port['shape'])}, {port['dtype']}"]
    if port["open_shape"]:
        lines.append(f"- sizes that may change: {by_x(port['open_shape'])}, -1 stands for any")
    if port["layout"]:
        axes = _AXES[port["layout"]]
        lines.append(f"- layout: {port['layout']} ({axes}); a guess from the shape")
    if port["scale"] is not None:
        spread = ": {:.6g} to {:.6g}".format(*port["range"]) if port["range"] else ""
        lines.append(
            f"- real value = {port['real_value']}, scale = {port['scale']:.9g}, zero_point = "
            f"{port['zero_point']}{spread}"
        )
        lines.append("- stored value = round(real / scale) + zero_point, kept in the dtype's range")
    else:
        lines.append("- holds the values themselves: no scale")
    said = port["metadata"]
    if said["description"]:
        lines.append(f"- in the file's metadata: {code(said['description'])}")
    if said["minimum"] and said["maximum"]:
        low, high = (", ".join(f"{v:.6g}" for v in said[k]) for k in ("minimum", "maximum"))
        lines.append(f"- values by the file's metadata: {low} to {high}")
    if is_input:
        found = port["normalization"]
        text = NOT_KNOWN
        if found["mean"]:
            mean, std = ([f"{v:.9g}" for v in found[name]] for name in ("mean", "std"))
            text = (
                f"real value = (x - mean) / std, mean = {', '.join(mean)}; std = {', '.join(std)}, "
                f"{found['source']}"
            )
        lines.append(f"- normalization: {text}")
    elif port["labels"]:
        lines.append(f"- classes: {len(port['labels'])}, named in `contract.json` in their order")
    return [*lines, ""]


def by_x(shape: list[int]) -> str:
    """`1×8×8×3`; a single value has no shape."""
    return "×".join(map(str, shape)) or "a single value"
