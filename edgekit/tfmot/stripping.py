"""`ek.tfmot.strip`: the plain model inside TFMOT's wrappers."""

from edgekit.tfmot.engine import check_tf_keras_model, copied, flat_layers, load_tfmot
from edgekit.tfmot.quantization import source_of
from edgekit.tfmot.remote import remotely


@remotely
def strip(model):
    """A plain model with the weights that were trained: masked, clustered, or under the rounding.

    Example:
        >>> ek.tfmot.strip(pruned).save("pruned.keras")

    Args:
        model: What `ek.tfmot.prune`, `cluster`, `quantize_aware` or `preserve` made.

    Returns:
        A model of tf_keras; of Keras 3, where that went in.

    Raises:
        ValueError: Nothing of it is TFMOT's, or TFMOT changed the layers to quantise them.
        ImportError: TFMOT is not installed (extra `tfmot`).
    """
    check_tf_keras_model(model)
    kinds = {type(layer).__name__ for layer in flat_layers(model)}
    tfmot = load_tfmot()
    if "PruneLowMagnitude" in kinds:
        for layer in pruned_layers(model):
            layer.pruning_obj.weight_mask_op()  # TFMOT leaves the last step's weights
        return tfmot.sparsity.keras.strip_pruning(model)
    if any(kind.startswith("ClusterWeights") for kind in kinds):
        return tfmot.clustering.keras.strip_clustering(model)
    if any(kind.startswith("QuantizeWrapper") for kind in kinds):
        return _without_quantization(model)
    raise ValueError(f"model {model.name!r} has no layer of TFMOT: there is nothing to strip")


def pruned_layers(model) -> list:
    """The layers in TFMOT's pruning wrappers, those of models inside too."""
    return [x for x in flat_layers(model) if type(x).__name__ == "PruneLowMagnitude"]


def _without_quantization(model):
    """TFMOT has no such function: the weights go to a copy of what was quantised."""
    plain = copied(source_of(model))
    inside, outside = {}, {}
    for layer in model.layers:
        if type(layer).__name__.startswith("QuantizeWrapper"):
            inside[layer.layer.name] = _weights(layer)
        else:  # left out, and trained along
            outside[layer.name] = layer.get_weights()
    for layer in plain.layers:
        wanted = [_tail(weight) for weight in layer.weights]
        if layer.name in outside:
            layer.set_weights(outside[layer.name])
        elif wanted and set(wanted) - set(inside.get(layer.name, ())):
            raise ValueError(
                f"TFMOT put other layers in the place of {layer.name!r} to quantise it: the "
                "weights that were trained do not fit back"
            )
        elif wanted:
            layer.set_weights([inside[layer.name][name] for name in wanted])
    return plain


def _weights(wrapper) -> dict:
    """`{name: values}` of the layer inside, as TFMOT rounds them: shared and masked."""
    found = {_tail(weight): weight.numpy() for weight in wrapper.weights}
    for weight, _, variables in wrapper._weight_vars:
        values = weight.numpy()
        if "cluster_centroids_tf" in variables:
            values = variables["cluster_centroids_tf"].numpy()[
                variables["pulling_indices_tf"].numpy()
            ]
        if "sparsity_mask" in variables:
            values = values * variables["sparsity_mask"].numpy()
        found[_tail(weight)] = values
    return found


def _tail(weight) -> str:
    return weight.name.split(":")[0].split("/")[-1]
