"""Files that TensorFlow's converter makes of functions."""

from collections.abc import Callable, Sequence

import flatbuffers
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from converters import Flatbuffer


def lite_file(function: Callable, *specs: tf.TensorSpec) -> Flatbuffer:
    """A function of tensors of those shapes and dtypes as a `.tflite`."""
    traced = tf.function(function, input_signature=specs).get_concrete_function()
    return Flatbuffer(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())


def signatures_file(
    folder, held: Sequence[tf.Variable] = (), **functions: tuple[Callable, list]
) -> Flatbuffer:
    """A file with a signature for each function, given with the specs of what it takes.

    Args:
        folder: Where a SavedModel is kept on the way.
        held: Variables that the functions read. Defaults to none.
        functions: `{key: (function that returns a dict, specs of its arguments)}`.
    """
    module = tf.Module()
    module.held = list(held)
    for key, (function, specs) in functions.items():
        setattr(module, key, tf.function(function, input_signature=specs))
    signatures = {key: getattr(module, key) for key in functions}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), list(signatures))
    converter.experimental_enable_resource_variables = True
    return Flatbuffer(converter.convert())


def signed_graphs(*keys: str) -> bytes:
    """A file with a subgraph for each key, whose signature names it; each is a ReLU of 4 values."""
    content = lite_file(tf.nn.relu, tf.TensorSpec([1, 4], name="x")).content
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.subgraphs, model.signatureDefs = model.subgraphs * len(keys), []
    for number, key in enumerate(keys):
        entry = schema.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = key, number
        entry.inputs, entry.outputs = [_named("x", 0)], [_named("y", 1)]
        model.signatureDefs.append(entry)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _named(name: str, tensor: int):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
