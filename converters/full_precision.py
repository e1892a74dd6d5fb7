"""A model trained in half precision as one that computes in float32, for the converter."""

import keras


def in_full_precision(model: keras.Model) -> keras.Model:
    """The model itself, or a copy with the same weights where a layer computes in half precision.

    Mixed precision is a way to train: its casts would end up in the flatbuffer, and between
    an op and its rounding.

    Args:
        model: A built model.
    """
    layers = model._flatten_layers()
    if all(layer.compute_dtype not in ("float16", "bfloat16") for layer in layers):
        return model
    if not hasattr(model, "_nodes_by_depth") and not isinstance(model, keras.Sequential):
        return model  # a subclassed model has no configuration to change
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # layers may make layers of their own
    try:
        copy = type(model).from_config(_without_half_precision(model.get_config()))
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # what it computes from its weights
    return copy


def _without_half_precision(config):
    if isinstance(config, dict):
        name = config.get("config", {}).get("name") if _is_policy(config) else None
        if name in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16"):
            return {**config, "config": {"name": "float32"}}
        return {key: _without_half_precision(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_without_half_precision(value) for value in config)
    return config


def _is_policy(config: dict) -> bool:
    return config.get("class_name") == "DTypePolicy" and isinstance(config.get("config"), dict)
