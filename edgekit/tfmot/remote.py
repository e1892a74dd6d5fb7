"""Models of Keras 3, worked on by TFMOT in a process of its own."""

import functools
import inspect
import json
import pickle
from collections.abc import Callable, Sequence

import keras
import numpy as np

from converters.child import Child, ChildError
from converters.errors import ConversionError
from converters.flatbuffer import Flatbuffer
from converters.interrupts import Interrupts, interrupts_held
from converters.temporary import TemporaryFolder
from edgekit.core.graph import Graph, source_name
from edgekit.core.selection import all_layers
from edgekit.tfmot.worker import MARK, OUTPUT, STOP

_STRIP = "strip"
_ERRORS = {"ImportError": ImportError, "ConversionError": ConversionError}


def remotely(function: Callable) -> Callable:
    """Let `function`, which works on models of tf_keras, take models of Keras 3.

    It is done to these in a process of its own, where legacy Keras is set; what comes back is a
    `RemoteModel` to be compiled and fitted, and from `strip` a model of Keras 3.
    """

    @functools.wraps(function)
    def run(model, *args, **kwargs):
        name = function.__name__
        if isinstance(model, RemoteModel):
            if name != _STRIP:
                raise ValueError(
                    f"model {model.name!r} has TFMOT's wrappers already: ek.tfmot.strip it first"
                )
            return model.strip()
        if not isinstance(model, keras.Model):
            return function(model, *args, **kwargs)
        if name == _STRIP:
            raise ValueError(
                f"model {model.name!r} has no layer of TFMOT: there is nothing to strip"
            )
        arguments = inspect.signature(function).bind(model, *args, **kwargs).arguments
        del arguments["model"]
        return RemoteModel(model, name, arguments), []

    return run


class RemoteModel:
    """A Keras 3 model in TFMOT's wrappers, in a process of its own.

    It is trained as other models are; data are arrays. Its process ends with it, or at `close`.

    Example:
        >>> with ek.tfmot.quantize_aware(model)[0] as qat:
        ...     qat.compile("adam", "sparse_categorical_crossentropy")
        ...     qat.fit(x, y, epochs=2)
        ...     qat.convert(["int8"])["int8"].save("model.tflite")

    Args:
        source: The model.
        function: What of `ek.tfmot` is done to it.
        arguments: Of that function.

    Raises:
        ValueError: What the function raises, or a layer that tf_keras has not.
    """

    def __init__(self, source: keras.Model, function: str, arguments: dict):
        self.name, self._source = source.name, source
        for layer in all_layers(source):
            if type(layer).__module__.split(".")[0] != "keras":
                raise ValueError(
                    f"layer {layer.name!r} is of a class that TFMOT's process does not know: "
                    f"{type(layer).__name__}"
                )
        self._outputs = Graph(source).model.output
        self._temporary = TemporaryFolder("tfmot")
        self._folder = self._temporary.path
        source.save(self._folder / "source.keras")
        try:
            (self._folder / "arguments.pickle").write_bytes(pickle.dumps(arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                "a function cannot be handed to TFMOT's process: choose layers by regular "
                f"expressions ({error})"
            ) from None
        self._child = Child(
            "edgekit.tfmot.worker",
            str(self._folder),
            environment={"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self._open = True
        try:
            self._ask("make", function=function)
        except BaseException:
            self.close()
            raise

    def compile(self, optimizer="rmsprop", loss=None, metrics: Sequence | dict = ()) -> None:
        """As `keras.Model.compile`.

        Args:
            optimizer: A name or a Keras 3 optimizer, with its learning rate or schedule. Defaults
                to `"rmsprop"`.
            loss: A name or a Keras 3 loss, or one for each output. Defaults to `None`.
            metrics: Names or Keras 3 metrics, or lists of them by output. Defaults to none.

        Raises:
            ValueError: tf_keras has no such thing, or there is no such output.
        """
        if not isinstance(metrics, (list, tuple, dict)):
            raise ValueError(f"`metrics` must be a list. Received: metrics={metrics!r}")
        loss, metrics = self._by_output("loss", loss), self._by_output("metrics", metrics)
        parts = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        self._ask("compile", **keras.tree.map_structure(_serialized, parts))

    def fit(
        self,
        x,
        y=None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple | None = None,
        callbacks: Sequence = (),
        verbose: bool | int = True,
        shuffle: bool = True,
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, on arrays. Ctrl-C ends it after its step; the model stays.

        Args:
            x: An array, or a list or dict of arrays.
            y: The same, a dict by output. Defaults to `None`.
            epochs: Rounds over the data. Defaults to `1`.
            batch_size: Samples per step. Defaults to `32`.
            validation_data: `(x, y)`. Defaults to `None`.
            callbacks: Those that `ek.tfmot` gave; others cannot run there. Defaults to none.
            verbose: Whether a line is printed per epoch. Defaults to `True`.
            shuffle: Whether samples are shuffled in each epoch. Defaults to `True`.

        Returns:
            The history: `history` has lists by metric.

        Raises:
            ValueError: Other callbacks, data that do not fit, or a fit too short for the
                schedule.
        """
        if callbacks:
            raise ValueError(
                "callbacks of this process cannot run in TFMOT's; its own run there by themselves"
            )
        if validation_data is not None:
            validation_data = (validation_data[0], self._by_output("y", validation_data[1]))
        self._hand_over(x=x, y=self._by_output("y", y), validation=validation_data)
        how = {"epochs": epochs, "batch_size": batch_size, "shuffle": bool(shuffle)}
        found = self._ask("fit", on_progress=_print if verbose else _say_nothing, **how)
        history = keras.callbacks.History()
        history.history, history.epoch = found, list(range(epochs))
        return history

    def evaluate(self, x, y=None, batch_size: int = 32) -> dict[str, float]:
        """`{name: value}` of the loss and the metrics."""
        self._hand_over(x=x, y=self._by_output("y", y))
        return self._ask("evaluate", batch_size=batch_size)

    def predict(self, x, batch_size: int = 32):
        """What the model says to an array, or to a list or dict of arrays."""
        self._hand_over(x=x)
        self._ask("predict", batch_size=batch_size)
        found = pickle.loads((self._folder / "outputs.pickle").read_bytes())
        return keras.tree.pack_sequence_as(self._outputs, keras.tree.flatten(found))

    def convert(
        self, formats: str | Sequence[str] = ("float32",), calibration=None, **options
    ) -> dict[str, Flatbuffer]:
        """The model's flatbuffers; `ek.convert(model, ...)` is the same.

        Args:
            formats: As there. Defaults to `("float32",)`.
            calibration: Arrays. Defaults to `None`; a quantisation-aware model needs none.
            **options: The others of `ek.convert`.
        """
        self._hand_over(calibration=calibration)
        self._ask("convert", formats=formats, options=options)
        return pickle.loads((self._folder / "files.pickle").read_bytes())

    def strip(self) -> keras.Model:
        """A plain Keras 3 model with the weights that were trained."""
        self._ask("strip")
        model = keras.models.clone_model(self._source)
        with np.load(self._folder / "weights.npz") as stored:
            for layer in model.layers:
                if layer.weights:
                    values = [
                        stored[f"{layer.name}/{number}"] for number in range(len(layer.weights))
                    ]
                    layer.set_weights(values)
                if isinstance(layer, keras.layers.Normalization):
                    layer.finalize_state()  # what it computes from them
        return model

    def close(self) -> None:
        """End the process."""
        self._open = False
        self._child.end()
        self._temporary.remove()

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"model {self.name!r} is closed: TFMOT's process has ended")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if hasattr(self, "_child"):
            self.close()

    def _by_output(self, argument: str, value):
        """A dict by output as a list: TFMOT gives outputs other names."""
        if not isinstance(value, dict):
            return list(value) if isinstance(value, tuple) else value
        names = self._output_names()
        if unknown := sorted(set(value) - set(names)):
            raise ValueError(
                f"`{argument}` names {', '.join(map(repr, unknown))}; the outputs of "
                f"{self.name!r} are {', '.join(map(repr, names))}"
            )
        found = [value.get(name) for name in names]
        return found if len(found) > 1 else found[0]

    def _output_names(self) -> list[str]:
        if isinstance(self._outputs, dict):
            return keras.tree.flatten({name: name for name in self._outputs})
        return [source_name(tensor) for tensor in keras.tree.flatten(self._outputs)]

    def _hand_over(self, **values) -> None:
        self._check_open()
        if values.get("x", ()) is None:
            raise ValueError("`x` must be arrays. Received: None")
        for name, value in values.items():
            if value is not None and not isinstance(value, (np.ndarray, list, tuple, dict)):
                raise ValueError(
                    f"`{name}` must be arrays: TFMOT's process cannot read a "
                    f"{type(value).__name__} of this one"
                )
        arrays = keras.tree.map_structure(
            lambda v: None if v is None else np.asarray(v), values, none_is_leaf=True
        )
        (self._folder / "data.pickle").write_bytes(pickle.dumps(arrays, protocol=5))

    def _ask(self, do: str, on_progress: Callable = lambda message: None, **job):
        self._check_open()
        with interrupts_held() as interrupts:
            try:
                self._child.tell(json.dumps({"do": do, **job}))
                watch = self._stop_at if do == "fit" else Interrupts.check
                message = self._answer(on_progress, functools.partial(watch, interrupts))
            except BaseException:
                self.close()  # the job goes on there, and its answer is for nobody
                raise
            (self._folder / STOP).unlink(missing_ok=True)
        if "error" in message:
            raise _ERRORS.get(message["kind"], ValueError)(message["error"])
        return message["done"]

    def _stop_at(self, interrupts: Interrupts) -> None:
        """End the fit after its step at a first Ctrl-C, and at once at a second."""
        if interrupts.count:
            (self._folder / STOP).touch()
        if interrupts.count > 1:
            raise KeyboardInterrupt

    def _answer(self, on_progress: Callable, watch: Callable[[], None]) -> dict:
        """The last message of a job."""
        while "progress" in (message := self._hear(watch)):
            on_progress(message["progress"])
            watch()  # messages may come without a pause
        return message

    def _hear(self, watch: Callable[[], None]) -> dict:
        """The next message; what TensorFlow says while it is loaded is none."""
        while True:
            try:
                line = self._child.hear(watch)
            except ChildError as error:
                raise RuntimeError(self._why(error)) from None
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))

    def _why(self, error: ChildError) -> str:
        """Why the process ended, with what it printed."""
        printed = self._folder / OUTPUT
        said = printed.read_text(errors="replace") if printed.exists() else ""
        reason = self._child.failure(said) if said else error
        return f"TFMOT's process ended: {reason}\n{error.output}{said}"


def _serialized(part):
    if part is None or isinstance(part, str):
        return part
    return keras.saving.serialize_keras_object(part)


def _print(message: dict) -> None:
    values = ", ".join(f"{name} {value:.4g}" for name, value in message["logs"].items())
    print(f"epoch {message['epoch']}/{message['epochs']}: {values}", flush=True)


def _say_nothing(message: dict) -> None:
    pass
