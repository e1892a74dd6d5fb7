"""A contract in words: `CONTRACT.md`."""

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
    lines = [f"# {model['file']}: what to feed it, and what it gives", ""]
    lines += [f"- sha256 of the model: `{model.get('sha256', model['source_sha256'])}`"]
    if model.get("sha256", model["source_sha256"]) != model["source_sha256"]:
        lines += [f"- sha256 before the metadata were added: `{model['source_sha256']}`"]
    signature = f"`{model['signature']}`" if model["signature"] else "none: tensors by their names"
    lines += [f"- signature: {signature}", f"- tried with LiteRT {found['runtime']['litert']}", ""]
    for kind in ("inputs", "outputs"):
        lines += [f"## {kind.capitalize()}", ""]
        for port in found[kind]:
            lines += _port(port, kind == "inputs")
    for heading, text in sections.items():
        lines += [f"## {heading}", "", *text, ""]
    lines += ["## Ops", "", *table(["op", "version", "count"], _ops(found["ops"])), ""]
    return "\n".join(lines)


def table(columns: list[str], rows: list[list]) -> list[str]:
    """A Markdown table."""
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in rows),
    ]


def _ops(ops: list[dict]) -> list[list]:
    return [[op["name"], op["version"], op["count"]] for op in ops]


def _port(port: dict, is_input: bool) -> list[str]:
    lines = [f"**{port['position']}: `{port['name']}`**, {by_x(port['shape'])}, {port['dtype']}"]
    if port["open_shape"]:
        lines.append(f"- sizes that may change: {by_x(port['open_shape'])}, -1 stands for any")
    if port["layout"]:
        axes = _AXES[port["layout"]]
        lines.append(f"- layout: {port['layout']} ({axes}); a guess from the shape")
    if port["scale"] is not None:
        low, high = port["range"]
        lines.append(
            f"- real value = {port['real_value']}, scale = {port['scale']:.9g}, zero_point = "
            f"{port['zero_point']}: {low:.6g} to {high:.6g}"
        )
        lines.append("- stored value = round(real / scale) + zero_point, kept in the dtype's range")
    else:
        lines.append("- holds the values themselves: no scale")
    if is_input:
        found = port["normalization"]
        text = NOT_KNOWN
        if found["mean"]:
            mean, std = ([f"{v:.9g}" for v in found[name]] for name in ("mean", "std"))
            text = (
                f"real value = (x - mean) / std, mean = {', '.join(mean)}; std = {', '.join(std)}"
            )
        lines.append(f"- normalisation: {text}")
    elif port["labels"]:
        lines.append(f"- classes: {len(port['labels'])}, named in `contract.json` in their order")
    return [*lines, ""]


def by_x(shape: list[int]) -> str:
    """`1×8×8×3`; a single value has no shape."""
    return "×".join(map(str, shape)) or "a single value"
