"""The Keras objects that a SavedModel of Keras 2 lists."""

from pathlib import Path

from converters.legacy.requirement import tf_keras


def keras_metadata(folder: Path) -> list[str]:
    """JSON of each Keras object; none where the folder holds a graph alone.

    Raises:
        ValueError: The files are damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    tf_keras()
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    try:
        beside = folder / "keras_metadata.pb"
        if beside.is_file():
            return [node.metadata for node in SavedMetadata.FromString(beside.read_bytes()).nodes]
        # Before TensorFlow 2.5 they were inside.
        graphs = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    except DecodeError as error:
        raise ValueError(f"{folder}: its metadata are damaged: {error}") from None
    nodes = graphs[0].object_graph_def.nodes if graphs else []
    objects = [node.user_object for node in nodes if node.HasField("user_object")]
    return [o.metadata for o in objects if o.identifier.startswith("_tf_keras_") and o.metadata]
