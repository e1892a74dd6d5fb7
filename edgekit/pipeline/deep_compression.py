"""Deep Compression as one call: prune, share weights, convert, pack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import ml_dtypes
import numpy as np
from keras import ops

from converters import Flatbuffer, convert
from converters.formats import FORMATS, check_formats
from converters.packed import pack
from converters.packed.packed_file import PackedFile
from edgekit.clustering import WeightClustering
from edgekit.core.arguments import check_whole, is_number, is_whole
from edgekit.core.constraints import retrace_training
from edgekit.core.kernels import own_kernels
from edgekit.core.next_fit import tidy_up
from edgekit.core.selection import LayerFilter, all_layers
from edgekit.pruning import GradualPruning, schedules

# Share of the pruning stage after which no more weights go.
_RAMP = 0.5
# The learning rate of the second stage, as a share of the first's.
_GENTLER = 0.3
_CALIBRATION_SAMPLES = 200


@dataclass(frozen=True)
class DeepCompression:
    """What `deep_compress` made.

    Attributes:
        model: The model that was given, pruned and clustered.
        file: Its `.tflite`, as it comes out of the packed file.
        packed: The `.ekz` file.
        metrics: `{stage: {metric: value}}` on the validation data: `"given"`, `"pruned"` and
            `"clustered"`; empty without validation data.
    """

    model: keras.Model
    file: Flatbuffer
    packed: PackedFile
    metrics: dict[str, dict[str, float]]

    @property
    def ratio(self) -> float:
        """How many times smaller the `.ekz` is than the model's parameters in float32."""
        return 4 * self.model.count_params() / self.packed.size


def deep_compress(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sparsity: float | Mapping[str, float] = 0.9,
    bits: int | Mapping[str, int] = 5,
    epochs: tuple[int, int] = (10, 4),
    learning_rate: float = 1e-3,
    batch_size: int | None = None,
    scope: str = "layer",
    layers: LayerFilter = None,
    format: str = "float32",
    validation_data: Any = None,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> DeepCompression:
    """Prune a trained model, let its weights share values, convert it and pack the file.

    The model that is given trains on, in two stages by its own loss and kind of optimizer, each
    with a learning rate that falls to zero by a cosine. Biases and the shared values are rounded
    to bfloat16 in the end, which no accuracy shows and half their bytes.

    Example:
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> small = ek.deep_compress(model, x, y, sparsity=0.95, bits=4, scope="global")
        >>> small.packed.save("model.ekz")
        >>> small.ratio
        64.2

    Args:
        model: A trained, compiled model.
        x: What `fit` takes: arrays, or a `tf.data` set of batches.
        y: Targets. Defaults to `None`: they are in `x`.
        sparsity: As in `ek.GradualPruning`. Defaults to `0.9`.
        bits: Of a weight's index, 1 to 16, or `{regex: bits}`. Defaults to `5`: 32 values.
        epochs: Of the pruning and of the clustering stage. Defaults to `(10, 4)`.
        learning_rate: Of the pruning stage at its begin; the clustering stage begins with three
            tenths of it. Defaults to `1e-3`.
        batch_size: As in `fit`, for arrays. Defaults to `None`: 32.
        scope: As in `ek.GradualPruning`. Defaults to `"layer"`.
        layers: Which layers are pruned and clustered, where `sparsity` and `bits` do not say.
            Defaults to `None`: all with a kernel.
        format: Of the `.tflite`: any that `ek.convert` knows; integer ones are calibrated on the
            first samples of `x`. Defaults to `"float32"`.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or a `tf.data` set to evaluate each
            stage on. Defaults to `None`.
        callbacks: More callbacks for both stages. Defaults to none.
        verbose: As in `fit`. Defaults to `"auto"`.

    Returns:
        The model, the `.tflite`, the packed file and the metrics of the stages.

    Raises:
        TypeError: `model` is no Keras model, or an argument of the wrong kind.
        ValueError: The model is not compiled, or an argument out of range.

    Source: Han et al. 2015, "Deep Compression", arXiv 1510.00149.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras 3 model. Received: {type(model).__name__}")
    if not model.compiled:
        raise ValueError(f"model {model.name!r} is not compiled: its loss trains the stages")
    _check_epochs(epochs)
    if batch_size is not None:
        _check_batch_size(batch_size, x)
    if isinstance(validation_data, (tuple, list)) and len(validation_data) not in (2, 3):
        raise ValueError(
            "`validation_data` must be (x, y), (x, y, sample_weight) or a tf.data set. Received: "
            f"a {type(validation_data).__name__} of {len(validation_data)}"
        )
    if not isinstance(format, str):
        raise TypeError(f"`format` must be one format's name. Received: format={format!r}")
    check_formats(format)
    if not is_number(learning_rate) or not 0 < learning_rate < 1e6:
        raise ValueError(
            f"`learning_rate` must be above 0. Received: learning_rate={learning_rate!r}"
        )
    named = None if isinstance(sparsity, Mapping) else layers
    pruning = GradualPruning(sparsity, schedules.Polynomial(end=_RAMP), scope=scope, layers=named)
    named = None if isinstance(bits, Mapping) else layers
    clustering = WeightClustering(bits=bits, layers=named)
    training = _Training(model, x, y, batch_size, _listed(callbacks), verbose)
    samples = _samples(x, _CALIBRATION_SAMPLES) if FORMATS[format].integer else None
    convert(model, [format], calibration=samples)  # what it refuses, it refuses before the training
    metrics = {}
    if validation_data is not None:
        metrics["given"] = training.evaluate(validation_data)
    for stage, callback, count, rate in (
        ("pruned", pruning, epochs[0], learning_rate),
        ("clustered", clustering, epochs[1], _GENTLER * learning_rate),
    ):
        training.run(callback, count, rate)
        if stage == "clustered":
            _round_values(model)
        if validation_data is not None:
            metrics[stage] = training.evaluate(validation_data)
    file = convert(model, [format], calibration=samples)[format]
    return DeepCompression(model, file, pack(file), metrics)


class _Training:
    """Fits of one model on the same data, with an optimizer of their own."""

    def __init__(self, model, x, y, batch_size, callbacks, verbose):
        self._model, self._callbacks, self._verbose = model, callbacks, verbose
        self._data = {"x": x, "y": y, "batch_size": batch_size}
        self._steps = _steps(x, batch_size)

    def run(self, callback, epochs: int, rate: float) -> None:
        model = self._model
        own = model.optimizer
        decay = keras.optimizers.schedules.CosineDecay(rate, self._steps * epochs)
        with model.distribute_strategy.scope():
            model.optimizer = _fresh(own, decay)
        retrace_training(model)
        try:
            model.fit(
                **self._data,
                epochs=epochs,
                callbacks=[*self._callbacks, callback],
                verbose=self._verbose,
            )
        finally:
            tidy_up(model)  # what an interrupted fit leaves on the weights
            model.optimizer = own
            retrace_training(model)

    def evaluate(self, data) -> dict[str, float]:
        arguments = {"batch_size": self._data["batch_size"], "verbose": 0, "return_dict": True}
        if isinstance(data, (tuple, list)):
            arguments |= zip(("x", "y", "sample_weight"), data, strict=False)
        else:
            arguments["x"] = data
        found = self._model.evaluate(**arguments)
        return {name: float(value) for name, value in found.items()}


def _fresh(optimizer, learning_rate):
    """An optimizer of the same kind and settings, that has not trained yet."""
    config = optimizer.get_config()
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is None:
        return type(optimizer).from_config(config | {"learning_rate": learning_rate})
    kept = {key: config[key] for key in ("initial_scale", "dynamic_growth_steps")}
    return type(optimizer)(_fresh(inner, learning_rate), **kept)


def _steps(x, batch_size) -> int:
    """Optimizer steps of an epoch."""
    if hasattr(x, "cardinality"):
        steps = int(x.cardinality())
        if steps < 1:
            raise ValueError(
                "`x` is a tf.data set of unknown length: give it one by "
                "`x.apply(tf.data.experimental.assert_cardinality(batches))`"
            )
        return steps
    first = keras.tree.flatten(x)[0]
    if not hasattr(first, "shape") or len(first) == 0:
        raise ValueError("`x` must be arrays with samples, or a tf.data set of batches")
    return -(-len(first) // (batch_size or 32))


def _round_values(model: keras.Model) -> None:
    """Give biases and kernels the nearest values that bfloat16 has."""
    for layer in all_layers(model):
        kernels = {id(kernel) for kernel in own_kernels(layer)}
        for variable in layer.trainable_variables:
            if id(variable) in kernels or len(variable.shape) == 1:
                values = ops.convert_to_numpy(variable)
                variable.assign(values.astype(ml_dtypes.bfloat16).astype(values.dtype))


def _samples(x, count: int):
    if hasattr(x, "cardinality"):
        batches = x.unbatch().take(count).batch(count)
        first = next(iter(batches))
        return keras.tree.map_structure(np.asarray, first[0] if isinstance(first, tuple) else first)
    return keras.tree.map_structure(lambda array: np.asarray(array[:count]), x)


def _listed(callbacks) -> list[keras.callbacks.Callback]:
    found = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else callbacks
    other = [
        each
        for each in (found if isinstance(found, Sequence) else [found])
        if not isinstance(each, keras.callbacks.Callback)
    ]
    if other:
        raise TypeError(
            f"`callbacks` must be a list of Keras callbacks. Received: {type(other[0]).__name__}"
        )
    return list(found)


def _check_batch_size(batch_size, x) -> None:
    check_whole("batch_size", batch_size)
    if hasattr(x, "cardinality"):
        raise ValueError("`batch_size` is for arrays: the tf.data set `x` has batches of its own")


def _check_epochs(epochs) -> None:
    whole = isinstance(epochs, (tuple, list)) and len(epochs) == 2
    if not whole or not all(is_whole(e) and e >= 1 for e in epochs):
        raise ValueError(
            "`epochs` must be two whole numbers ≥ 1, of the pruning and of the clustering stage. "
            f"Received: epochs={epochs!r}"
        )
