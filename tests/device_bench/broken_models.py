"""Flatbuffers that do harm when they run: each is whole, and made by the real converter."""

from collections.abc import Callable

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters import Flatbuffer


def changed(content: bytes, change: Callable) -> Flatbuffer:
    """A model after `change(schema.ModelT)`."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    change(model)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return Flatbuffer(bytes(builder.Output()))


def unknown_op(content: bytes) -> Flatbuffer:
    """The first op has a code that LiteRT does not have."""

    def change(model):
        model.operatorCodes[0].builtinCode = 200000
        model.operatorCodes[0].deprecatedBuiltinCode = 127

    return changed(content, change)


def converted(function, *shapes) -> Flatbuffer:
    """A TensorFlow function of float inputs, converted."""
    import tensorflow as tf

    function = tf.function(function, input_signature=[tf.TensorSpec(shape) for shape in shapes])
    concrete = function.get_concrete_function()
    return Flatbuffer(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def endless() -> Flatbuffer:
    """Counts up for ever where its input is positive, as all random inputs are."""
    import tensorflow as tf

    return converted(lambda x: tf.while_loop(lambda v: v[0] > -1, lambda v: (v * 1.0,), (x,)), [1])


def immense() -> Flatbuffer:
    """Asks for 100 GB: one number, spread over 5,000 rows of 5 million."""
    import tensorflow as tf

    size = np.array([5000, 5_000_000], "int32")
    return converted(lambda x: tf.reduce_max(tf.broadcast_to(x, size) * 2.0, axis=1), [1])


def crashing() -> Flatbuffer:
    """A loop whose body is the model itself: it goes down until the stack ends."""

    def change(model):
        model.subgraphs[0].operators[0].builtinOptions.bodySubgraphIndex = 0

    return changed(endless().content, change)


def leaking() -> Flatbuffer:
    """Keeps 20,000 more numbers of 8 bytes with each run."""
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.kept = tf.Variable(tf.zeros([1], tf.int64), shape=tf.TensorShape([None]))

        @tf.function(input_signature=[tf.TensorSpec([1])])
        def __call__(self, x):
            more = tf.fill([20_000], tf.cast(x[0], tf.int64))
            self.kept.assign(tf.concat([self.kept.read_value(), more], 0))
            return 2.0 * x

    net = Net()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [net.__call__.get_concrete_function()], net
    )
    converter.experimental_enable_resource_variables = True

    def change(model):
        # The converter takes the first shape for that of all times.
        for op in model.subgraphs[0].operators:
            code = model.operatorCodes[op.opcodeIndex].builtinCode
            if code in (schema.BuiltinOperator.READ_VARIABLE, schema.BuiltinOperator.CONCATENATION):
                tensor = model.subgraphs[0].tensors[op.outputs[0]]
                tensor.shape, tensor.shapeSignature, tensor.hasRank = [], [], False

    return changed(converter.convert(), change)


def not_finite() -> Flatbuffer:
    """The smaller of 5 and no number: no number by XNNPACK, 5 by LiteRT's plain kernels."""
    import tensorflow as tf

    return converted(lambda x: tf.minimum(tf.math.log(-x - 1.0), 5.0), [4])
