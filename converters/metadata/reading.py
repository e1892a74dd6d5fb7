"""What a `.tflite` says of itself, in plain objects."""

from dataclasses import asdict, dataclass, field

import numpy as np

from converters.flatbuffer_tables import DAMAGE, CorruptFlatbuffer
from converters.metadata.attached_files import attached_files
from converters.metadata.schema import (
    NAME,
    NORMALIZATION_OPTIONS,
    ROOT,
    TENSOR_AXIS_LABELS,
    TENSOR_VALUE_LABELS,
)
from converters.metadata.tree import Table, read_tree


@dataclass(frozen=True)
class TensorMetadata:
    """What is said of an input or output.

    Attributes:
        name: For people; None where nothing is said, as in all that follows.
        description: Alike.
        mean: Subtracted from data before the model, one number or one a channel.
        std: What they are divided by then.
        minimum: Of its values, one number or one a channel.
        maximum: Alike.
        labels: Names along its last axis.
        value_labels: Names of the numbers that are its values, as a detector's classes are.
    """

    name: str | None = None
    description: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    minimum: tuple[float, ...] | None = None
    maximum: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None
    value_labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Metadata:
    """What a model says of itself.

    Attributes:
        name: Of the model; None where nothing is said, as in all that follows.
        description: What it is for.
        version: Of the model.
        author: Who made it.
        license: Under which it is.
        inputs: In the order of the graph; empty where nothing is said of them.
        outputs: Alike.
        files: `{name: content}` of the files behind the model.
        tree: All of it, by the field names of the schema; None for a model without metadata.
    """

    name: str | None = None
    description: str | None = None
    version: str | None = None
    author: str | None = None
    license: str | None = None
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    tree: Table | None = field(default=None, repr=False)

    def to_dict(self) -> dict:
        """Everything but the contents of files, as JSON-ready values."""
        texts = ("name", "description", "version", "author", "license")
        return {
            **{key: getattr(self, key) for key in texts},
            "inputs": [asdict(tensor) for tensor in self.inputs],
            "outputs": [asdict(tensor) for tensor in self.outputs],
            "files": {name: len(data) for name, data in self.files.items()},
        }

    def summary(self) -> str | None:
        """One line; None where there is nothing to tell."""
        parts = [part for part in (self.name, self.version and f"version {self.version}") if part]
        parts += [f"by {self.author}"] if self.author else []
        parts += [f"license {self.license}"] if self.license else []
        for port in self.inputs:
            if port.mean:
                mean, std = (", ".join(f"{v:g}" for v in vs) for vs in (port.mean, port.std))
                parts.append(f"normalization mean {mean}, std {std}")
        for port in self.outputs:
            named = port.labels or port.value_labels
            if named:
                parts.append(f"{len(named):,} labels")
        if self.files:
            parts.append(f"files {', '.join(self.files)}")
        return "; ".join(" ".join(part.split()) for part in parts) or None


def read_metadata(content: bytes) -> Metadata:
    """The metadata of a `.tflite`, and the files behind it.

    Example:
        >>> read_metadata(Path("model.tflite").read_bytes()).outputs[0].labels

    Args:
        content: The bytes of a `.tflite`.

    Raises:
        CorruptFlatbuffer: The model, its metadata or the zip behind it are damaged.
    """
    try:
        described = metadata_buffer(content)
        if described is None:
            return Metadata()
        tree, files = read_tree(described, ROOT), attached_files(content)
    except DAMAGE as error:
        raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: its metadata: {error}") from None
    graph = (tree.get("subgraph_metadata") or [{}])[0]
    described = {
        kind: tuple(_tensor(table, files) for table in graph.get(f"{kind}_tensor_metadata", []))
        for kind in ("input", "output")
    }
    texts = {key: tree.get(key) for key in ("name", "description", "version", "author", "license")}
    return Metadata(
        **texts, inputs=described["input"], outputs=described["output"], files=files, tree=tree
    )


def metadata_buffer(content: bytes) -> bytes | None:
    """The bytes of the metadata in a `.tflite`; None where there are none."""
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(content, 0)
    for number in range(min(root.MetadataLength(), len(content))):
        entry = root.Metadata(number)
        if entry.Name() == NAME.encode():
            data = root.Buffers(entry.Buffer()).DataAsNumpy()
            return data.tobytes() if isinstance(data, np.ndarray) else None
    return None


def lines_of(data: bytes) -> tuple[str, ...]:
    """The labels in a file: one a line, as they are, but for blank ones at its end."""
    lines = [line.strip() for line in data.decode("utf-8-sig", errors="replace").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


def _tensor(table: Table, files: dict[str, bytes]) -> TensorMetadata:
    normalization = next(
        (
            unit["options"][1]
            for unit in table.get("process_units", [])
            if unit.get("options", (0,))[0] == NORMALIZATION_OPTIONS
        ),
        {},
    )
    mean, std = normalization.get("mean"), normalization.get("std")
    stats = table.get("stats", {})
    return TensorMetadata(
        name=table.get("name"),
        description=table.get("description"),
        mean=tuple(mean) if mean and std else None,
        std=tuple(std) if mean and std else None,
        minimum=tuple(stats["min"]) if stats.get("min") else None,
        maximum=tuple(stats["max"]) if stats.get("max") else None,
        labels=_labels(table, files, TENSOR_AXIS_LABELS),
        value_labels=_labels(table, files, TENSOR_VALUE_LABELS),
    )


def _labels(table: Table, files: dict[str, bytes], kind: int) -> tuple[str, ...] | None:
    """Of several languages the one that is not named, or English, or the first."""
    found = {
        entry.get("locale") or "": files[entry["name"]]
        for entry in table.get("associated_files", [])
        if entry.get("type") == kind and entry.get("name") in files
    }
    for locale in ("", "en", *found):
        if locale in found:
            return lines_of(found[locale]) or None
    return None
