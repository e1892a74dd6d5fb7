"""Several teachers as one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from edgekit.distillation.decoupled import one_hot
from edgekit.distillation.endings import LINEAR, LOG_SOFTMAX, SIGMOID, watching
from edgekit.distillation.output_activation import Activation, check_activation
from edgekit.distillation.outputs import Outputs, outputs_of

COMBINATIONS = ("mean", "geometric", "best")


@keras.saving.register_keras_serializable("edgekit")
class Ensemble(keras.Model):
    """The joint opinion of several classifiers: one model, with their probabilities combined.

    A teacher for `ek.distill`, and a model to evaluate by itself.

    Example:
        >>> both = ek.distillation.Ensemble([net_1, net_2], "geometric", weights=[2, 1])
        >>> ek.distill(student, both)

    Args:
        models: Two or more models with the same inputs and one output of the same shape each.
        combination: `"mean"` of the probabilities, their `"geometric"` mean, or of each sample
            the `"best"`: the model that gives its label the highest probability, and where no
            labels are known the one that is surest. Linear outputs are averaged as they are.
            Defaults to `"mean"`.
        weights: One of each model, 0 or above, for both means. Defaults to `None`: equal.
        activation: What the outputs have been through: `"softmax"`, `"log_softmax"`, `"sigmoid"`
            or `"linear"`. Defaults to `None`: found in the models.

    Raises:
        TypeError: `models` are no Keras models.
        ValueError: Fewer than two, outputs or activations that differ, or an argument out of
            range.

    Source: Hinton et al. 2015, arXiv 1503.02531, section 1; "best" after You et al. 2017, "Learning
    from Multiple Teacher Networks", doi 10.1145/3097983.3098135.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        combination: str = "mean",
        weights: Sequence[float] | None = None,
        activation: str | None = None,
        name: str = "ensemble",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        check_models("models", models)
        if combination not in COMBINATIONS:
            raise ValueError(
                f"`combination` must be one of {', '.join(COMBINATIONS)}. "
                f"Received: combination={combination!r}"
            )
        if activation is not None:
            check_activation("activation", activation)
        self.models, self.combination = list(models), combination
        told = [outputs_of(model) for model in models]
        if activation is not None:
            told = [outputs.known_as([activation]) for outputs in told]
        end = common_ending("models", told)
        self._outputs, self.activation = replace(told[0], ends=(end,)), end.kind
        self._weights = _shares(weights, len(models))
        if combination == "best" and weights is not None:
            raise ValueError("`weights` are for the means: 'best' takes one model of each sample")
        if combination == "best" and self.activation == SIGMOID:
            raise ValueError("combination='best' is for classes of which one is right: a softmax")
        self.built = all(model.built for model in models)

    @property
    def answers_with(self) -> Outputs:
        """Its one output."""
        return self._outputs

    @property
    def needs_labels(self) -> bool:
        """Whether `call` wants labels."""
        return self.combination == "best"

    def call(self, inputs, training=None, labels=None):
        with watching() as computation:
            outputs = [model(inputs, training=training) for model in self.models]
        end, kind = self._outputs.ends[0], self.activation
        if self.combination == "mean" and kind == LOG_SOFTMAX:
            return ops.log(self._mean([ops.exp(output) for output in outputs]))
        if self.combination == "mean" or (self.combination == "geometric" and kind == LINEAR):
            return self._mean(outputs)
        logits = [end.logits(output, computation) for output in outputs]
        if self.combination == "best":
            return _best(end, logits, outputs, labels)
        joint = self._mean([ops.log_softmax(each, axis=-1) for each in logits])
        joint = (ops.log_softmax if kind == LOG_SOFTMAX else ops.softmax)(joint, axis=-1)
        if kind == SIGMOID:
            return joint[..., 0]
        return joint if end.classes is None else end.classes.back(joint, outputs[0])

    def compute_output_shape(self, input_shape):
        return self.models[0].compute_output_shape(input_shape)

    def _mean(self, values):
        return sum(
            share * ops.cast(value, "float32")
            for share, value in zip(self._weights, values, strict=True)
        )

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return super().get_config() | {
            "models": [keras.saving.serialize_keras_object(model) for model in self.models],
            "combination": self.combination,
            "weights": None if self.needs_labels else list(self._weights),
            "activation": self.activation,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """An ensemble from `get_config`'s result."""
        models = [
            keras.saving.deserialize_keras_object(each, custom_objects) for each in config["models"]
        ]
        return cls(**config | {"models": models})


def _best(end: Activation, logits, outputs, labels):
    """Of each sample and place the output of one model."""
    logs = ops.stack([ops.log_softmax(each, axis=-1) for each in logits])
    if labels is None:
        scores = ops.max(logs, axis=-1)
    else:
        labels = end.labels_last(labels)
        scores = ops.sum(logs * one_hot(labels, logits[0])[None], axis=-1)
    chosen = ops.argmax(scores, axis=0)
    picks = ops.one_hot(chosen, len(outputs), axis=0, dtype="float32")
    values = [ops.cast(output, "float32") for output in outputs]
    if end.classes is not None:
        values = list(map(end.classes.last, values))
    stacked = ops.stack(values)
    while len(picks.shape) < len(stacked.shape):
        picks = ops.expand_dims(picks, -1)
    found = ops.sum(picks * stacked, axis=0)
    return found if end.classes is None else end.classes.back(found, outputs[0])


def check_models(argument: str, models) -> None:
    """Refuse what are not several models with one output of the same shape.

    Raises:
        TypeError: They are no Keras models.
        ValueError: Fewer than two, one twice, several outputs or different ones.
    """
    sequence = isinstance(models, Sequence)
    if not sequence or not all(isinstance(model, keras.Model) for model in models):
        raise TypeError(
            f"`{argument}` must be a list of Keras models. Received: {argument}={models!r}"
        )
    if len(set(map(id, models))) < max(2, len(models)):
        raise ValueError(
            f"`{argument}` must be two or more, each another model. "
            f"Received: {', '.join(model.name for model in models) or 'none'}"
        )
    for model in models:
        if not model.built:
            raise ValueError(f"`{argument}`: {model.name!r} has no weights yet: call it on data")
    found = [outputs_of(model) for model in models]
    for model, outputs in zip(models, found, strict=True):
        if len(outputs) > 1:
            raise ValueError(f"`{argument}` must have one output each: {model.name!r} has several")
        if isinstance(getattr(model, "output", None), Mapping):
            raise ValueError(f"`{argument}`: {model.name!r} gives a dict: let it give its output")
    shapes = {str(outputs.shapes[0]) for outputs in found if None not in outputs.shapes[0][1:]}
    if len(shapes) > 1:
        listed = ", ".join(sorted(shapes))
        raise ValueError(f"`{argument}` have outputs of different shapes: {listed}")


def common_ending(argument: str, told: Sequence[Outputs]) -> Activation:
    """What the single output of each of the models has been through.

    Args:
        argument: What the user calls the models.
        told: What each of them answers with.

    Raises:
        ValueError: They differ.
    """
    ends = [outputs.ends[0] for outputs in told]
    found = sorted({end.kind for end in ends})
    if len(found) > 1:
        raise ValueError(
            f"`{argument}` end in different activations, {' and '.join(found)}: end all in one"
        )
    classes = [end.classes for end in ends if end.classes is not None]
    if any(not each.same_as(classes[0]) for each in classes):
        raise ValueError(f"`{argument}` end in softmaxes along different axes: end all alike")
    step = max(end.step for end in ends)
    return Activation(found[0], classes[0] if classes else None, step, ends[0].mixed)


def _shares(weights, count: int) -> list[float]:
    if weights is None:
        return [1 / count] * count
    values = np.asarray(weights, "float64")
    if values.shape != (count,) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"`weights` must be {count} numbers, 0 or above. Received: {weights!r}")
    if values.sum() == 0:
        raise ValueError(f"`weights` must not all be 0. Received: {weights!r}")
    return [float(value) for value in values / values.sum()]
