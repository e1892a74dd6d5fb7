"""The metadata of a packaged model: what the file says already, and what packaging adds.

What the user gives takes the place of what the file says; all else stays as it is.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from converters.integer.file import FlatFile
from converters.metadata import Metadata
from converters.metadata.attached_files import with_files
from converters.metadata.schema import (
    FEATURE_PROPERTIES,
    IDENTIFIER,
    IMAGE_PROPERTIES,
    NAME,
    NORMALIZATION_OPTIONS,
    RGB,
    ROOT,
    TENSOR_AXIS_LABELS,
)
from converters.metadata.tree import UNKNOWN, Table, write_tree
from converters.packaging.normalization import Normalization
from converters.packaging.ports import Port, Ports

LABELS_FILE = "labels.txt"
# That of the oldest parser that knows all fields written here.
_MIN_PARSER_VERSION = "1.0.0"


def with_metadata(
    content: bytes,
    name: str,
    ports: Ports,
    normalizations: Mapping[str, Normalization],
    labels: tuple[Port, list[str]] | None,
    metadata: Metadata,
) -> bytes:
    """The model with metadata.

    Args:
        content: The bytes of a `.tflite`.
        name: Of the model.
        ports: Its inputs and outputs.
        normalizations: `{input name: Normalization}` that the metadata are to say.
        labels: The output that scores classes, and their names that the metadata are to say.
        metadata: Those that the file has, from `read_metadata`.
    """
    if metadata.tree and not normalizations and labels is None:
        return content
    tree = copy.deepcopy(metadata.tree) if metadata.tree else _about(name)
    files = dict(metadata.files)
    inputs, outputs = _tensors(tree, ports)
    for port, table in zip(ports.inputs, inputs, strict=True):
        if port.name in normalizations:
            _normalize(table, port, normalizations[port.name])
    for port, table in zip(ports.outputs, outputs, strict=True):
        if labels is not None and port is labels[0]:
            _name_classes(table, labels[1], files)
    if tree == metadata.tree and files == metadata.files:
        return content
    _warn_of_unknown(tree)
    return with_files(_with_buffer(content, write_tree(tree, ROOT, IDENTIFIER)), files)


def lines(labels: Sequence[str]) -> str:
    """Labels as the text of a file."""
    return "".join(f"{label}\n" for label in labels)


def _with_buffer(content: bytes, described: bytes) -> bytes:
    file = FlatFile(content)
    model = file.model
    model.metadata = model.metadata or []
    entry = next((m for m in model.metadata if m.name == NAME.encode()), None)
    if entry is None:
        entry = file.schema.MetadataT()
        entry.name, entry.buffer = NAME, len(model.buffers)
        model.metadata.append(entry)
        model.buffers.append(file.schema.BufferT())
    model.buffers[entry.buffer].data = np.frombuffer(described, "uint8")
    return file.with_all_tensors()


def _about(name: str) -> Table:
    return {
        "name": name,
        "description": "Packaged by edgekit",
        "min_parser_version": _MIN_PARSER_VERSION,
    }


def _tensors(tree: Table, ports: Ports) -> tuple[list[Table], list[Table]]:
    """The tables of the inputs and of the outputs; where there are none, they are added."""
    graphs = tree.setdefault("subgraph_metadata", [])
    if not graphs:
        graphs.append({})
    found = []
    for kind, group in (("input", ports.inputs), ("output", ports.outputs)):
        tables = graphs[0].setdefault(f"{kind}_tensor_metadata", [])
        if not tables:
            tables += [_described(port) for port in group]
        tables += [{} for _ in group[len(tables) :]]  # of which nothing is said
        found.append(tables[: len(group)])
    return found[0], found[1]


def _described(port: Port) -> Table:
    table = {
        "name": port.name,
        "description": _description(port),
        "content": {"content_properties": (FEATURE_PROPERTIES, {})},
    }
    if port.range is not None:
        low, high = port.range
        table["stats"] = {"max": [high], "min": [low]}
    return table


def _normalize(table: Table, port: Port, normalization: Normalization) -> None:
    options = {"mean": list(normalization.mean), "std": list(normalization.std)}
    units = table.setdefault("process_units", [])
    unit = {"options": (NORMALIZATION_OPTIONS, options)}
    for place, old in enumerate(units):
        if old.get("options", (0,))[0] == NORMALIZATION_OPTIONS:
            if not _same(old["options"][1], options):
                units[place] = unit
            break
    else:
        units.append(unit)
    plain = table.get("content", {}).get("content_properties", (FEATURE_PROPERTIES, {}))
    if plain == (FEATURE_PROPERTIES, {}) and port.layout == "NHWC" and port.shape[-1] == 3:
        table["content"] = {"content_properties": (IMAGE_PROPERTIES, {"color_space": RGB})}


def _same(old: Table, new: Table) -> bool:
    return all(
        np.array_equal(np.float32(old.get(key, [])), np.float32(values))
        for key, values in new.items()
    )


def _name_classes(table: Table, labels: Sequence[str], files: dict[str, bytes]) -> None:
    """The names of the classes, in the file that has them or in one of their own."""
    entries = table.setdefault("associated_files", [])
    old = [e for e in entries if e.get("type") == TENSOR_AXIS_LABELS]
    name = old[0]["name"] if old and old[0].get("name") in files else LABELS_FILE
    if not old:
        description = "The classes, one a line"
        entries.append({"name": name, "description": description, "type": TENSOR_AXIS_LABELS})
    elif len(old) > 1 or old[0].get("name") != name:  # in other languages, or that are not there
        old[0]["name"] = name
        entries[:] = [e for e in entries if e is old[0] or e not in old]
    files[name] = lines(labels).encode()


def _warn_of_unknown(tree) -> None:
    """Say what cannot be written back, since this version does not know what it is."""
    tables, unknown = [tree], 0
    for table in tables:  # which grows while it is walked
        unknown += table.get(UNKNOWN, 0)
        for value in table.values():
            values = value if isinstance(value, (list, tuple)) else [value]
            tables += [item for item in values if isinstance(item, dict)]
    if unknown:
        warnings.warn(
            f"the model's metadata have {unknown} fields that this version of edgekit does not "
            "know, and that the packaged file leaves out; without labels and normalization of your "
            "own, the metadata stay as they are",
            stacklevel=2,
        )


def _description(port: Port) -> str:
    shape = "×".join(map(str, port.shape))
    words = f"{port.dtype} {shape}".strip()
    if port.scale is not None:
        words += f", real value = {port.formula}"
    return words if port.layout is None else f"{words}, probably {port.layout}"
