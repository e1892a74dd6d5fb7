"""A model of Keras 3 as one of legacy tf_keras, for TFMOT."""

import keras
import numpy as np

from converters.legacy.comparison import answers, distance, random_inputs
from converters.legacy.layers import constructor_defaults
from edgekit.core.graph import Graph, fill_in

# Arguments that Keras 3 renamed.
_ARGUMENTS = {"LeakyReLU": {"negative_slope": "alpha"}}
# What only training in Keras 3 asks.
_WITHOUT_EFFECT = {"autocast", "quantization_config", "synchronized", "seed"}
# Arguments that Keras fills in from the masks of what comes before.
_MASKS = {"mask", "query_mask", "key_mask", "value_mask"}
_TOLERANCE = 1e-3


def to_tf_keras(model: keras.Model):
    """The same Sequential or Functional model in tf_keras.

    Args:
        model: Of Keras 3, built, of layers that tf_keras has too.

    Raises:
        ValueError: A layer or operation has no counterpart there; the message names all of them.
    """
    import tf_keras

    graph = Graph(model)
    made, problems = {}, []
    calls = _without_masks(graph)
    for call in calls:
        if call.operation.name not in made:
            try:
                made[call.operation.name] = _layer(call.operation)
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise ValueError(
            f"model {model.name!r} cannot become one of tf_keras, which TFMOT works on: "
            f"{'; '.join(dict.fromkeys(problems))}"
        )
    values = {id(tensor): None for call in graph.calls for tensor in call.outputs}
    for tensor in graph.inputs:
        name = tensor._keras_history.operation.name
        values[id(tensor)] = tf_keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
    inputs = [values[id(tensor)] for tensor in graph.inputs]
    for call in calls:
        args, kwargs = fill_in(call, values)
        kwargs = {k: v for k, v in kwargs.items() if v is not None and k not in _MASKS}
        (output,) = call.outputs
        values[id(output)] = made[call.operation.name](*args, **kwargs)
    outputs = [values[id(tensor)] for tensor in graph.outputs]
    found = tf_keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=model.name,
    )
    give_back(model, found)
    inputs = random_inputs(found)
    apart = distance(answers(graph.model, inputs), answers(found, inputs), len(inputs[0]))
    if not apart.relative <= _TOLERANCE:
        raise ValueError(
            f"model {model.name!r} answers otherwise in tf_keras, by {apart.absolute:.2g}: TFMOT "
            "cannot work on it"
        )
    return found


def _without_masks(graph: Graph) -> list:
    """The calls that outputs come from; those that only make masks tf_keras makes itself."""
    needed, found = {id(tensor) for tensor in graph.outputs}, []
    for call in reversed(graph.calls):
        if not any(id(tensor) in needed for tensor in call.outputs):
            continue
        found.append(call)
        kwargs = {k: v for k, v in call.arguments.kwargs.items() if k not in _MASKS}
        needed.update(map(id, keras.tree.flatten((call.arguments.args, kwargs))))
    return found[::-1]


def give_back(source, target) -> None:
    """Give the layers of `target` the weights of those of `source` that have their names."""
    for layer in source.layers:
        if layer.weights:
            found = target.get_layer(layer.name)
            found.set_weights([np.asarray(w) for w in layer.weights])
            if hasattr(found, "finalize_state"):  # what it computes from them
                found.finalize_state()


def _layer(operation):
    import tf_keras

    title = f"{type(operation).__name__} {operation.name!r}"
    if not isinstance(operation, keras.layers.Layer):
        raise ValueError(f"{title} is an operation outside of a layer")
    if isinstance(operation, keras.Model):
        raise ValueError(f"{title} is a model inside the model")
    if len(operation._inbound_nodes[0].outputs) > 1:
        raise ValueError(f"{title} gives several outputs")
    cls = getattr(tf_keras.layers, type(operation).__name__, None)
    if cls is None or type(operation).__module__.split(".")[0] != "keras":
        raise ValueError(f"{title} is no layer of tf_keras")
    renamed = _ARGUMENTS.get(type(operation).__name__, {})
    known, usual = constructor_defaults(cls), constructor_defaults(type(operation))
    arguments = {}
    for key, value in operation.get_config().items():
        key = renamed.get(key, key)
        if key.endswith("_initializer") or key in _WITHOUT_EFFECT:
            continue
        if key == "dtype":
            value = operation.dtype_policy.name
        if key in known:
            arguments[key] = _value(key, value)
        elif value is not None and value != usual.get(key):
            raise ValueError(f"{title} has {key}={value!r}, which tf_keras has not")
    return cls(**arguments)


def _value(key: str, value):
    """Regularizers and constraints by name; those that callbacks set stay behind."""
    import tf_keras

    if not (isinstance(value, dict) and "class_name" in value):
        return value
    kind = tf_keras.regularizers if key.endswith("_regularizer") else tf_keras.constraints
    found = getattr(kind, value["class_name"], None)
    return found(**value["config"]) if found else None
