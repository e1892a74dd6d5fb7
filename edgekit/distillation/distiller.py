"""A student that learns from a teacher."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops, tree

from edgekit.core.arguments import check_whole
from edgekit.distillation.alignment import aligned
from edgekit.distillation.comparisons import Batch, asks_for_outputs, compared
from edgekit.distillation.endings import LINEAR, watching
from edgekit.distillation.feature_pairs import projections
from edgekit.distillation.features import Features
from edgekit.distillation.loss import replica_count
from edgekit.distillation.loss_kinds import loss_of, of_numbers, warn_of_numbers
from edgekit.distillation.model_pair import input_order, reordered
from edgekit.distillation.outputs import Outputs, outputs_of
from edgekit.distillation.stored_answers import (
    array_answers,
    dataset_answers,
    identity_of,
    mark_of,
)
from edgekit.distillation.taught import Taught


@keras.saving.register_keras_serializable("edgekit")
class Distiller(keras.distillation.Distiller):
    """Keras's Distiller with what that leaves out; `ek.distill` checks its arguments and makes it.

    It trains the student by λ · its own loss + (1 − λ) · Σ weight · distillation loss, plus what
    the student's regularizers add. Sample and class weights, masks, several outputs and metrics
    count as they do for the student alone. `evaluate` and `predict` ask the student only; compiled
    without a loss, `evaluate` compares it with the teacher.

    Callbacks for weights work on it as on the student: `ek.GradualPruning`, `ek.WeightClustering`.

    Args:
        teacher: Built; it does not train, and stays as it is.
        student: Built.
        distillation_losses: A list of losses, edgekit's or Keras's.
        distillation_loss_weights: As many.
        student_loss_weight: λ, from 0 to 1.
        distillation_outputs: For each loss the number of the output it is for, or None: all.
        student_activation: What each of the student's outputs has been through: `"softmax"`,
            `"log_softmax"`, `"sigmoid"` or `"linear"`.
        teacher_activation: The same of each of the teacher's outputs.
        outputs: Of the student and of the teacher, where both are known already. Defaults to
            `None`: they are looked at.

    Attributes:
        student: The student.
        teacher: The teacher.
        strength: A variable, 1 at first, that (1 − λ) is multiplied with.
        teacher_places: Where the teacher has each of the student's outputs; None of those that it
            does not have.
        projections: For each loss the layer that widens the student's features, or None.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        distillation_losses: Sequence[keras.distillation.DistillationLoss],
        distillation_loss_weights: Sequence[float],
        student_loss_weight: float,
        distillation_outputs: Sequence[int | None],
        student_activation: Sequence[str],
        teacher_activation: Sequence[str],
        outputs: tuple[Outputs, Outputs] | None = None,
        name: str = "distiller",
        **kwargs,
    ):
        # Past Keras's own, which refuses models whose shapes differ, and runs a student twice.
        # What goes in and comes out keeps its dtype: stored answers are float32.
        keras.Model.__init__(self, name=name, autocast=False, **kwargs)
        self.student, self.teacher = student, teacher
        self.distillation_losses = list(distillation_losses)
        self.distillation_loss_weights = list(distillation_loss_weights)
        self.student_loss_weight = student_loss_weight
        self.distillation_outputs = list(distillation_outputs)
        self.student_activation = list(student_activation)
        self.teacher_activation = list(teacher_activation)
        self.strength = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="strength"
        )
        self.projections = projections(self.distillation_losses, student, teacher)
        self.student_loss_tracker = keras.metrics.Mean(name="student_loss")
        self.distillation_loss_tracker = keras.metrics.Mean(name="distillation_loss")
        self._step = _Step()
        # A callback puts other weights into it, now and then.
        self.teacher_changes = False
        # Functions whose stored answers are this teacher's.
        self.asked: set[str] = set()
        own, theirs = outputs or (outputs_of(student), outputs_of(teacher))
        own, theirs = aligned(own.known_as(student_activation), theirs.known_as(teacher_activation))
        self.output_names = list(own.names)
        self._ends = _Ends(own, theirs)
        self.teacher_places = own.places_in(theirs)
        self._input_order = input_order(student, teacher)
        self._runs = _Runs(
            Features(student, self._names("student_layer_name")),
            Features(teacher, self._names("teacher_layer_name")),
        )
        self.built = True

    def compile(self, optimizer="rmsprop", loss=None, **kwargs) -> None:
        """As of any model; `loss` and `metrics` are the student's.

        Raises:
            ValueError: No `loss` although the student's own counts.
        """
        if loss is None and self.student_loss_weight > 0:
            raise ValueError(
                f"`loss` is needed, for the student's own counts {self.student_loss_weight:g}; "
                "student_weight=0 in ek.distill learns from the teacher alone"
            )
        for each, chosen in zip(self.distillation_losses, self.distillation_outputs, strict=True):
            for place in self._classes_compared(each, chosen):
                if of_numbers(loss_of(loss, place, self.output_names)):
                    warn_of_numbers(self.output_names[place], type(each).__name__)
        keras.Model.compile(self, optimizer=optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config: dict) -> None:
        """Compile as the model was when it was saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)  # so that its state can be loaded

    def call(self, inputs, training=None):
        self._step.answers, inputs = _apart(inputs)
        if not training and self._compile_loss is not None:
            return self.student(inputs, training=training)
        with watching() as computation:
            outputs, self._step.features = self._runs.student(inputs, training=training)
        pairs = zip(self._ends.student, tree.flatten(outputs), strict=False)
        self._step.logits = [end.logits(output, computation) for end, output in pairs]
        return outputs

    def ask_once(
        self,
        data: Any,
        folder: str | os.PathLike,
        labels: Any = None,
        *,
        batch_size: int = 256,
        verbose: bool = True,
    ) -> Any:
        """The teacher's answers to all of the data, kept on disk; then it costs nothing any more.

        For data that is the same in each epoch. What is random, such as shifted images, has to be
        asked about as often as it is to differ: `dataset.repeat(3)`. Answers that are there already
        are read, unless they are another teacher's or to other data; a function is known by some
        of its answers (64, or those to the first batch), a model and a `.tflite` by all they are.

        Example:
            >>> taught = distiller.ask_once(x, "answers")
            >>> distiller.fit(taught, y, epochs=50)
            >>> batches = distiller.ask_once(dataset, "answers_of_batches")
            >>> distiller.fit(batches.unbatch().shuffle(10_000).batch(64), epochs=50)

        Args:
            data: Arrays as the student takes them, or a `tf.data` set of batches `(x, y)`.
            folder: Where the answers are kept; made if missing.
            labels: For a teacher that asks for them, beside arrays. Defaults to `None`.
            batch_size: Samples of arrays that it is asked about at once. Defaults to `256`.
            verbose: Whether to show progress. Defaults to `True`.

        Returns:
            What `fit` takes in place of the data.

        Raises:
            ValueError: No samples, labels that are missing, or a folder of other things.
        """
        if isinstance(data, tf.data.Dataset):
            return dataset_answers(self, data, Path(folder), verbose)
        if labels is None and getattr(self.teacher, "needs_labels", False):
            raise ValueError("`labels` are needed: the teacher is the best for each label")
        check_whole("batch_size", batch_size)
        return array_answers(self, data, labels, Path(folder), batch_size, verbose)

    def answers(self, inputs: Any, labels: Any = None) -> dict[str, Any]:
        """What the losses need to know of the teacher, for a batch.

        Args:
            inputs: As the student takes them.
            labels: For a teacher that asks for them.
        """
        options = {"training": False}
        if getattr(self.teacher, "needs_labels", False):
            options["labels"] = labels
        with watching() as computation:
            outputs, features = self._runs.teacher(reordered(inputs, self._input_order), **options)
        found = {f"layer {name}": value for name, value in features.items()}
        flat = tree.flatten(outputs)
        for number, place in enumerate(self.teacher_places):
            if place is None:
                continue
            if any(map(asks_for_outputs, self.distillation_losses)):
                found[f"output {number}"] = flat[place]
            found[f"logits {number}"] = self._ends.teacher[place].logits(flat[place], computation)
        return tree.map_structure(ops.stop_gradient, found)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The student's own loss; in training, or where it has none, with the teacher's part."""
        self._step.training = training
        own = self._own_loss(x, y, y_pred, sample_weight)
        if not training and self._compile_loss is not None:
            return own
        taught = self._distillation_loss(x, y, y_pred, sample_weight)
        replicas = replica_count()
        samples = ops.shape(tree.flatten(x)[0])[0]
        self.student_loss_tracker.update_state(own * replicas, sample_weight=samples)
        self.distillation_loss_tracker.update_state(taught, sample_weight=samples)
        # The regularizers' part, which is in the student's own loss, stays whole.
        added = [ops.mean(ops.cast(loss, "float32")) for loss in self.losses]
        whole = ops.sum(ops.stack(added)) if added else 0.0
        share = self.strength * (1 - self.student_loss_weight)
        return (1 - share) * own + share * (taught + whole) / replicas

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The student's metrics, and in training both parts of the loss."""
        found = super().compute_metrics(x, y, y_pred, sample_weight)
        if not self._step.training:
            for tracker in (self.student_loss_tracker, self.distillation_loss_tracker):
                found.pop(tracker.name, None)
        return found

    def reset_metrics(self) -> None:
        """Start all metrics anew."""
        keras.Model.reset_metrics(self)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The student's, and those of projections: the teacher's `trainable` is left as it is."""
        layers = [self.student, *(layer for layer in self.projections if layer is not None)]
        return [variable for layer in layers for variable in layer.trainable_variables]

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """As `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """All others, the teacher's among them."""
        trained = set(map(id, self.trainable_variables))
        return [variable for variable in self.variables if id(variable) not in trained]

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        """All others of the weights."""
        trained = set(map(id, self.trainable_variables))
        return [variable for variable in self.weights if id(variable) not in trained]

    @property
    def losses(self) -> list:
        """What the student's layers add to the loss."""
        return self.student.losses

    def _own_loss(self, x, y, y_pred, sample_weight):
        if self._compile_loss is None and not self.losses:
            return ops.zeros(())
        return keras.Model.compute_loss(self, x, y, y_pred, sample_weight)

    def _distillation_loss(self, x, y, y_pred, sample_weight):
        if self.student_loss_weight == 1:
            return ops.zeros(())
        answers = self._step.answers
        if answers is None:
            answers = self.answers(_apart(x)[1], y)
        else:
            self._check_stored(answers)
        step = self._step
        batch = Batch(answers, y, y_pred, step.logits, sample_weight, step.features)
        parts = []
        for number, weight in enumerate(self.distillation_loss_weights):
            found = compared(self, number, batch)
            parts += [weight * ops.cast(part, "float32") for part in found]
        return ops.sum(ops.stack(parts))

    def _check_stored(self, answers) -> None:
        if self.teacher_changes:
            raise ValueError(
                "stored answers stay what they were, and SnapshotTeacher changes the teacher: fit "
                "on the data itself"
            )
        with tf.init_scope():  # while a step is traced
            told = identity_of(self)
        own = self.asked if told is None else {told}
        # Nothing is known of a function that was asked through another distiller.
        if own and not any(mark_of(each) in answers for each in own):
            raise ValueError(
                "the stored answers are another teacher's, or this one's before it was trained on: "
                "use ask_once of this distiller"
            )

    def _classes_compared(self, loss, chosen: int | None) -> list[int]:
        """Linear outputs that the loss takes for logits of classes."""
        if not getattr(loss, "compares_classes", False):
            return []
        return [
            place
            for place in self.places_compared(chosen)
            if self._ends.student[place].kind == LINEAR
        ]

    def places_compared(self, chosen: int | None) -> list[int]:
        """The student's outputs that a loss compares: the chosen one, or all the teacher has."""
        if chosen is not None:
            return [chosen]
        return [number for number, place in enumerate(self.teacher_places) if place is not None]

    def labels_last(self, place: int, labels: Any) -> Any:
        """Labels of an output with their classes along the last axis, where they have such."""
        return self._ends.student[place].labels_last(labels)

    def _names(self, side: str) -> list[str]:
        names = [getattr(loss, side, None) for loss in self.distillation_losses]
        return [name for name in names if name is not None]

    def get_config(self) -> dict:
        """The arguments it was made with."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "teacher": serialize(self.teacher),
            "student": serialize(self.student),
            "distillation_losses": [serialize(loss) for loss in self.distillation_losses],
            "distillation_loss_weights": list(self.distillation_loss_weights),
            "student_loss_weight": self.student_loss_weight,
            "distillation_outputs": list(self.distillation_outputs),
            "student_activation": list(self.student_activation),
            "teacher_activation": list(self.teacher_activation),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A distiller from `get_config`'s result."""
        deserialize = keras.saving.deserialize_keras_object
        made = {name: deserialize(config[name], custom_objects) for name in ("teacher", "student")}
        losses = [deserialize(loss, custom_objects) for loss in config["distillation_losses"]]
        return cls(**config | made | {"distillation_losses": losses})


class _Step(threading.local):
    """What the parts of one train step hand on while it is traced; replicas are traced in turns."""

    features: dict = {}
    logits: list = []
    answers: dict | None = None
    training = False


class _Ends:
    """What both models' outputs have been through; no part of what Keras tracks."""

    def __init__(self, student: Outputs, teacher: Outputs):
        self.student, self.teacher = student.ends, teacher.ends


class _Runs:
    """Two models that share their layers with the distiller's, and are not to be saved as well."""

    def __init__(self, student: Features, teacher: Features):
        self.student, self.teacher = student, teacher


def _apart(inputs) -> tuple[dict | None, Any]:
    return (inputs.answers, inputs.inputs) if isinstance(inputs, Taught) else (None, inputs)
