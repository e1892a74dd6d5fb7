"""What preprocessing layers have learned from data by `adapt`, beyond their weights."""

import tempfile

import keras

from edgekit.core.selection import all_layers


def copy_adapted(original: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    """Give a built copy the statistics and vocabularies of its original, sublayers' too.

    Example:
        >>> clone = keras.models.clone_model(model)  # its Normalization has mean 0
        >>> copy_adapted(model, clone)

    Args:
        original: A layer or model.
        copy: One of the same layers in the same order, whatever their widths.
    """
    pairs = zip([original, *all_layers(original)], [copy, *all_layers(copy)], strict=False)
    for old, new in pairs:
        if type(old) is not type(new):
            continue
        if isinstance(old, keras.layers.Normalization):
            if [w.shape for w in old.weights] == [w.shape for w in new.weights]:
                new.set_weights(old.get_weights())
                new.finalize_state()
        elif hasattr(old, "get_vocabulary") and hasattr(old, "load_assets"):
            # Tables stand in files of their own; there is no other public way.
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)
