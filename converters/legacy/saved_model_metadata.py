"""The Keras objects that a SavedModel of Keras 2 lists."""

import json
from pathlib import Path

from converters.legacy.requirement import tf_keras

_TOUCHING = {
    "CopyFile",
    "DeleteFile",
    "EagerPyFunc",
    "MatchingFiles",
    "PyFunc",
    "PyFuncStateless",
    "ReadFile",
    "RenameFile",
    "WriteFile",
}


def keras_metadata(folder: Path) -> list[str]:
    """JSON of each Keras object that a model is made of; none where the folder holds a graph alone.

    Metrics of the user's own are left out: they are not made again.

    Raises:
        ValueError: The files are damaged.
    """
    from google.protobuf.message import DecodeError

    tf_keras()
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    graphs = _graphs(folder)
    try:
        beside = folder / "keras_metadata.pb"
        if beside.is_file():
            listed = SavedMetadata.FromString(beside.read_bytes()).nodes
            return [node.metadata for node in listed if _is_made(node.identifier, node.metadata)]
    except DecodeError as error:
        raise ValueError(f"{folder}: its metadata are damaged: {error}") from None
    inside = _keras_objects(graphs)
    return [o.metadata for o in inside if o.metadata and _is_made(o.identifier, o.metadata)]


def holds_graph_alone(folder: Path) -> bool:
    """Whether a SavedModel has a graph and no Keras model, as Keras 3's export writes it.

    Raises:
        ValueError: The files are damaged, or the graph touches files or calls Python.
    """
    if not (folder / "saved_model.pb").is_file() or (folder / "keras_metadata.pb").is_file():
        return False
    return not _keras_objects(_graphs(folder))


def _graphs(folder: Path):
    """The graphs of a SavedModel, which touch no files."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        graphs = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    except DecodeError as error:
        raise ValueError(f"{folder}: its metadata are damaged: {error}") from None
    _refuse_files(folder, graphs)
    return graphs


def _keras_objects(graphs) -> list:
    """Objects of Keras that are listed inside, as before TensorFlow 2.5."""
    nodes = graphs[0].object_graph_def.nodes if graphs else []
    objects = [node.user_object for node in nodes if node.HasField("user_object")]
    return [o for o in objects if o.identifier.startswith("_tf_keras_")]


def _is_made(identifier: str, metadata: str) -> bool:
    """Whether it takes part in a model that is not compiled; of metrics tf_keras makes its own."""
    if identifier != "_tf_keras_metric":
        return True
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        return True  # whoever reads them says so
    name = found.get("class_name") if isinstance(found, dict) else None
    return not isinstance(name, str) or hasattr(tf_keras().metrics, name)


def _refuse_files(folder: Path, graphs) -> None:
    """Refuse graphs that touch files or call Python: initialisers run when a model is loaded."""
    from tensorflow.core.framework.graph_pb2 import GraphDef

    ops = set()
    for graph in graphs:
        match graph.graph_def:
            case GraphDef(node=nodes, library=functions):
                ops |= {node.op for node in nodes}
                ops |= {node.op for f in functions.function for node in f.node_def}
    if found := sorted(ops & _TOUCHING):
        raise ValueError(
            f"{folder}: its graph has the ops {', '.join(found)}, which touch files or call code "
            "when it is loaded"
        )
