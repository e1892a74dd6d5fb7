"""A Keras model as a TensorFlow SavedModel with fixed shapes, which the converter reads."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
from keras import tree

from converters.errors import ConversionError
from converters.legacy.traced import foreign_variables
from converters.one_value_norms import offsets_alone

# As constants in a graph, weights stand in memory nine times while they are converted, as variables
# four and a half times; but small ones are converted in half the time.
_MOST_CONSTANT_BYTES = 32_000_000
_LARGE_CONSTANT_BYTES = 100_000


def input_specs(model: keras.Model) -> dict[str, tuple[int | None, ...]]:
    """`{input name: shape with batch}` in the model's order.

    Raises:
        ValueError: The model has no symbolic inputs, as a subclassed one, or is not built.
    """
    if isinstance(model, keras.distillation.Distiller):
        raise ValueError(f"{model.name!r} is a Distiller: pass its `.student`")
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"model {model.name!r} has no known input shape; wrap it: "
            "inputs = keras.Input(shape); keras.Model(inputs, model(inputs))"
        )
    names = [_signature_name(name) for name in keras_input_names(model)]
    if len(set(names)) < len(names):
        raise ValueError(f"input names must differ in more than punctuation. Received: {names}")
    return {name: tuple(x.shape) for name, x in zip(names, model.inputs, strict=True)}


def keras_input_names(model: keras.Model) -> list[str]:
    """Names of the input layers, in the model's order.

    Unlike the tensors' names they are the same in every copy of the model.
    """
    return [tensor._keras_history.operation.name for tensor in model.inputs]


def save_for_conversion(model: keras.Model, folder: str | os.PathLike, batch: int = 1) -> None:
    """Write the model's inference graph with all shapes fixed.

    Inputs are named after the model's input layers, outputs `output_0`, `output_1`, … or by
    the keys of the model's output dict. Fixed shapes keep shape arithmetic out of the
    flatbuffer, which microcontroller runtimes cannot compute.

    Args:
        model: A built Functional or Sequential model.
        folder: Where the SavedModel goes.
        batch: Batch size where the model leaves it open. Defaults to `1`.

    Raises:
        ValueError: A dimension other than the batch is open.
        ConversionError: TensorFlow cannot save the model.
    """
    import tensorflow as tf

    specs = []
    for (name, shape), tensor in zip(input_specs(model).items(), model.inputs, strict=True):
        if None in shape[1:]:
            raise ValueError(
                f"input {name!r} has shape {shape}: rebuild the model with every dimension but "
                "the batch fixed"
            )
        specs.append(tf.TensorSpec((shape[0] or batch, *shape[1:]), tensor.dtype, name=name))
    module = tf.Module()
    module.foreign_variables = foreign_variables(model)
    with _left_to_kernels(model), offsets_alone():
        serve = _frozen(model, specs)
        if serve is None:
            serve = tf.function(lambda *tensors: named_outputs(model, tensors))
            serve = serve.get_concrete_function(*specs)
            module.model_variables = [variable.value for variable in model.variables]
        else:
            serve, module.large_constants = _large_ones_as_variables(serve, specs)
    try:
        tf.saved_model.save(module, os.fspath(folder), signatures={"serving_default": serve})
    except AssertionError:
        raise ConversionError(
            f"model {model.name!r} holds a variable that is not Keras's: make it with "
            "`self.add_weight`, and recurrent layers with stateful=False"
        ) from None


@contextmanager
def _left_to_kernels(model: keras.Model) -> Iterator[None]:
    """Within it layers do not compute what LiteRT's kernels round in their own way.

    Any layer that does says so by a true `emulates_kernels`; edgekit's do.
    """
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if getattr(layer, "emulates_kernels", False)
    ]
    for layer in layers:
        layer.emulates_kernels = False
    try:
        yield
    finally:
        for layer in layers:
            layer.emulates_kernels = True


def _frozen(model: keras.Model, specs: list):
    """The inference with weights as constants, which save and convert in half the time.

    What a quantization-aware model computes from its weights alone is then computed once, and not
    by the converter. None where that is another function, as of a layer that keeps a state; or
    where layers look into their variables as they are traced.
    """
    import tensorflow as tf

    # Layers may look at what they hold while they are traced, as whether a range is known.
    constants = [(v, tf.convert_to_tensor(v.value)) for v in model.variables]
    assigned = []

    def serve(*tensors):
        with keras.StatelessScope(state_mapping=constants) as scope:
            outputs = named_outputs(model, tensors)
        now = ((v, constant, scope.get_current_value(v)) for v, constant in constants)
        assigned.extend(v for v, constant, value in now if value is not constant)
        return outputs

    try:
        function = tf.function(serve).get_concrete_function(*specs)
    except Exception:  # of any kind; with variables it is the model's own
        return None
    return None if assigned else function


def _large_ones_as_variables(function, specs: list) -> tuple:
    """The function with its large constants as variables, and these; as it is if all are small."""
    import tensorflow as tf

    large = [
        (constant, placeholder)
        for constant, placeholder in function.graph.captures
        if constant.dtype.size * math.prod(constant.shape) >= _LARGE_CONSTANT_BYTES
    ]
    bytes_of_large = sum(c.dtype.size * math.prod(c.shape) for c, _ in large)
    if bytes_of_large <= _MOST_CONSTANT_BYTES:
        return function, []
    fed = {placeholder.name for _, placeholder in large}
    small = [(c, p) for c, p in function.graph.captures if p.name not in fed]
    variables = [tf.Variable(constant, trainable=False) for constant, _ in large]
    graph = function.graph.as_graph_def()
    given = {tensor.op.name for tensor in function.inputs}
    nodes = [node for node in graph.node if node.name not in given]
    del graph.node[:]
    graph.node.extend(nodes)

    def serve(*tensors):
        arguments = function.inputs[: len(tensors)]
        inputs = {old.name: new for old, new in zip(arguments, tensors, strict=True)}
        own = tf.compat.v1.get_default_graph()
        inputs |= {placeholder.name: own.capture(constant) for constant, placeholder in small}
        with tf.name_scope("edgekit_weights"):
            for variable, (_, placeholder) in zip(variables, large, strict=True):
                inputs[placeholder.name] = variable.read_value()
        outputs = tf.nest.flatten(function.structured_outputs)
        names = [output.name for output in outputs]
        found = tf.graph_util.import_graph_def(graph, inputs, names, name="")
        return tf.nest.pack_sequence_as(function.structured_outputs, found)

    return tf.function(serve).get_concrete_function(*specs), variables


def named_outputs(model: keras.Model, tensors: Sequence) -> dict:
    """`{output name: tensor}` of an inference, by the names the flatbuffer has.

    Args:
        model: A Functional or Sequential model.
        tensors: Its inputs, in the model's order.
    """
    sequential = isinstance(model, keras.Sequential)
    inputs = tensors[0] if sequential else tree.pack_sequence_as(model.input, list(tensors))
    outputs = model(inputs, training=False)
    if isinstance(outputs, dict):
        return outputs
    return {f"output_{i}": output for i, output in enumerate(tree.flatten(outputs))}


def _signature_name(name: str) -> str:
    return re.sub(r"\W", "_", name)
