"""`ek.tfmot.quantize_aware`: TFMOT's quantisation-aware training."""

from converters.errors import first_line
from edgekit.core.selection import LayerFilter, select_layers
from edgekit.tfmot.engine import check_source, load_tfmot
from edgekit.tfmot.remote import remotely


@remotely
def quantize_aware(model, scheme: str = "int8", layers: LayerFilter = None) -> tuple:
    """The model in TFMOT's quantisation wrappers, and the callbacks that its fit needs: none.

    `ek.convert(qat, ["int8"])` makes the integer file, and says which ops stayed float.
    TFMOT's ranges start at -6 to 6 and need a thousand steps or more.

    Example:
        >>> qat, callbacks = ek.tfmot.quantize_aware(model)
        >>> qat.compile("adam", "sparse_categorical_crossentropy")
        >>> qat.fit(x, y, epochs=2)
        >>> ek.convert(qat, ["int8"])["int8"].save("model.tflite")

    Args:
        model: A built Sequential or Functional model, of tf_keras or Keras 3; it stays as it is.
        scheme: `"int8"`: TFMOT deploys no other. Defaults to `"int8"`.
        layers: Which layers: a regular expression, a list of them, or a callable. Defaults to
            `None`: all.

    Returns:
        `(model, callbacks)`.

    Raises:
        ValueError: Another scheme, or a layer that TFMOT cannot quantise; the message names it.
        ImportError: TFMOT is not installed (extra `tfmot`).

    Source: Jacob et al. 2018, arXiv 1712.05877, as TFMOT has it.
    """
    check_source(model)
    if scheme != "int8":
        raise ValueError(f"`scheme` must be 'int8': TFMOT deploys no other. Received: {scheme!r}")
    return quantized(model, layers), []


def quantized(model, layers: LayerFilter = None, scheme=None):
    """The model quantised by one of TFMOT's schemes.

    Args:
        model: Of tf_keras.
        layers: Which layers. Defaults to `None`: all.
        scheme: A TFMOT scheme. Defaults to `None`: 8 bits.

    Raises:
        ValueError: TFMOT refuses a layer.
    """
    quantization = load_tfmot().quantization.keras
    import tf_keras

    inside = [layer.name for layer in model.layers if isinstance(layer, tf_keras.Model)]
    if inside:
        raise ValueError(
            f"TFMOT cannot quantise {model.name!r}: it has the model {inside[0]!r} inside. Make "
            "one model of their layers"
        )
    chosen = {layer.name for layer in select_layers(model.layers, layers)}

    def annotated(layer):
        if layer.name not in chosen or isinstance(layer, tf_keras.layers.InputLayer):
            return type(layer).from_config(layer.get_config())
        return quantization.quantize_annotate_layer(layer)

    how = {"scheme": scheme} if scheme else {}
    try:
        marked = tf_keras.models.clone_model(model, clone_function=annotated)
        marked.set_weights(model.get_weights())
        with quantization.quantize_scope():
            found = quantization.quantize_apply(marked, **how)
    except Exception as error:  # of every kind, as its transformations please
        raise ValueError(
            f"TFMOT cannot quantise {model.name!r}: {first_line(error)} Leave layers out with "
            "`layers`"
        ) from None
    found._edgekit_source = _Source(model)
    return found


class _Source:
    """Keeps TensorFlow from tracking what was quantised as a part of the result."""

    def __init__(self, model):
        self.model = model


def source_of(quantized_model):
    """The model that was quantised.

    Raises:
        ValueError: It was not quantised here, or comes from a file.
    """
    source = getattr(quantized_model, "_edgekit_source", None)
    if source is None:
        raise ValueError(
            f"model {quantized_model.name!r} was not made by ek.tfmot in this process: what it "
            "was before is not known"
        )
    return source.model
