"""The contract of a packaged model: what to feed it, what it gives, what it needs."""

import hashlib
import json
import platform

from converters.flatbuffer import Flatbuffer
from converters.flatbuffer_tables import DAMAGE, CorruptFlatbuffer
from converters.metadata import TensorMetadata
from converters.packaging.normalization import Normalization
from converters.packaging.ports import Port, Ports
from converters.packaging.said import Said

SCHEMA_VERSION = 1
REAL_VALUE = "(q - zero_point) * scale"
_ABOUT = ("name", "description", "version", "author", "license")
NOT_KNOWN = "as in training: not known to the file"


def contract(
    target: str,
    file: str,
    source: Flatbuffer,
    ports: Ports,
    said: Said,
) -> dict:
    """What any program needs to know of a model, as JSON-ready values.

    Args:
        target: What the folder is for.
        file: Name of the model.
        source: The model as it was given.
        ports: Its inputs and outputs.
        said: What is known of it.
    """
    normalizations, labels = said.all_normalizations(ports), said.all_labels(ports)
    metadata = said.metadata
    return {
        "schema_version": SCHEMA_VERSION,
        "target": target,
        "model": {
            "file": file,
            "source_sha256": sha256(source.content),
            "source_bytes": source.size,
            "signature": ports.signature,
        },
        "metadata": {key: getattr(metadata, key) for key in _ABOUT},
        "inputs": [
            {
                **_port(port),
                **_described(metadata.inputs, port),
                "normalization": _normalization(normalizations.get(port.name)),
            }
            for port in ports.inputs
        ],
        "outputs": [
            {**_port(port), **_described(metadata.outputs, port), "labels": labels.get(port.name)}
            for port in ports.outputs
        ],
        "ops": used_ops(source.content),
        "runtime": {"litert": litert_version(), "machine": platform.machine()},
    }


def used_ops(content: bytes) -> list[dict]:
    """`{name, version, count}` of the ops in all graphs of a `.tflite`, by name.

    Raises:
        CorruptFlatbuffer: It is damaged, maybe in a graph that nothing calls.
    """
    try:
        return _used_ops(content)
    except DAMAGE as error:
        raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: {error}") from None


def _used_ops(content: bytes) -> list[dict]:
    from ai_edge_litert import schema_py_generated as schema

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    root = schema.Model.GetRootAs(content, 0)
    counts: dict[tuple[str, int], int] = {}
    for graph in (root.Subgraphs(i) for i in range(root.SubgraphsLength())):
        for op in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            code = root.OperatorCodes(op.OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = names.get(number, f"UNKNOWN_{number}")
            if name == "CUSTOM" and code.CustomCode():
                name = code.CustomCode().decode(errors="replace")
            key = name, int(code.Version())
            counts[key] = counts.get(key, 0) + 1
    return [
        {"name": name, "version": version, "count": count}
        for (name, version), count in sorted(counts.items())
    ]


def litert_version() -> str:
    """Version of the LiteRT that runs here."""
    from importlib.metadata import version

    return version("ai-edge-litert")


def sha256(content: bytes) -> str:
    """Its checksum, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def as_json(found: dict) -> str:
    """A contract as text."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _port(port: Port) -> dict:
    return {
        "name": port.name,
        "position": port.position,
        "tensor": port.tensor,
        "shape": list(port.shape),
        "open_shape": list(port.open_shape) if port.open_shape != port.shape else None,
        "dtype": port.dtype,
        "scale": port.scale,
        "zero_point": port.zero_point,
        "real_value": REAL_VALUE if port.scale is not None else None,
        "range": list(port.range) if port.range else None,
        "layout": port.layout,
        "layout_is_a_guess": port.layout is not None,
    }


def _described(tensors: tuple[TensorMetadata, ...], port: Port) -> dict:
    """What the file's metadata say of an input or output."""
    found = tensors[port.position] if port.position < len(tensors) else TensorMetadata()
    return {
        "metadata": {
            key: list(value) if isinstance(value := getattr(found, key), tuple) else value
            for key in ("name", "description", "minimum", "maximum")
        }
    }


def _normalization(found: Normalization | None) -> dict:
    if found is None:
        return {"mean": None, "std": None, "note": NOT_KNOWN, "source": None}
    return {
        "mean": list(found.mean),
        "std": list(found.std),
        "note": "(x - mean) / std",
        "source": found.source,
    }
