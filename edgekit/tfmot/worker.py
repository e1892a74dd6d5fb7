"""TFMOT's own process: `python -m edgekit.tfmot.worker FOLDER`, told by a `RemoteModel` what to do.

A job is a line of JSON on standard input, and so is each answer on standard output, behind `MARK`.
Arrays and models are handed over in files of the folder, which both sides own; what is printed goes
to its file `OUTPUT`.
"""

import inspect
import json
import os
import pickle
import re
import signal
import sys
import warnings
from pathlib import Path

import numpy as np

from converters.messages import Messages

MARK = "@edgekit "
OUTPUT = "output"
STOP = "stop"  # a file of the folder that ends a fit after its step


class Worker:
    """One model, from the source to what becomes of it.

    Args:
        folder: Shared with the parent.
        messages: To the parent.
    """

    def __init__(self, folder: Path, messages: Messages):
        self._folder, self._messages = folder, messages
        self._model = self._callbacks = self._compiled = None

    def make(self, function: str) -> str:
        """Do what `ek.tfmot.FUNCTION` does to the source."""
        import keras

        from edgekit import tfmot
        from edgekit.tfmot.to_tf_keras import to_tf_keras

        # It comes from the memory of the parent: its code is no stranger's.
        source = keras.saving.load_model(
            self._folder / "source.keras", compile=False, safe_mode=False
        )
        arguments = pickle.loads((self._folder / "arguments.pickle").read_bytes())
        made = getattr(tfmot, function)(to_tf_keras(source), **arguments)
        self._model, self._callbacks = made
        return self._model.name

    def compile(self, optimizer, loss, metrics) -> None:
        """Compile the model with tf_keras's things of these names."""
        import tf_keras

        self._model.compile(
            _optimizer(optimizer),
            loss=_each(loss, tf_keras.losses.get),
            metrics=[_each(metric, tf_keras.metrics.get) for metric in metrics],
        )
        self._compiled = {"optimizer": optimizer, "loss": loss, "metrics": metrics}

    def fit(self, epochs: int, batch_size: int, shuffle: bool) -> dict:
        """Train it; lists by metric."""
        import tf_keras

        data = self._data()

        def look(batch, logs):
            if (self._folder / STOP).exists():
                self._model.stop_training = True

        watch = tf_keras.callbacks.LambdaCallback(
            on_batch_end=look,
            on_epoch_end=lambda epoch, logs: self.say(
                progress={"epoch": epoch + 1, "epochs": epochs, "logs": _numbers(logs)}
            ),
        )
        try:
            history = self._model.fit(
                data["x"],
                data["y"],
                epochs=epochs,
                batch_size=batch_size,
                shuffle=shuffle,
                validation_data=data["validation"],
                callbacks=[*self._callbacks, watch],
                verbose=0,
            )
        except Exception:  # of any kind: what it half made would break the next fit too
            if self._compiled:
                self.compile(**self._compiled)
            raise
        return {name: [float(v) for v in values] for name, values in history.history.items()}

    def evaluate(self, batch_size: int) -> dict:
        """`{name: value}`."""
        data = self._data()
        found = self._model.evaluate(
            data["x"], data["y"], batch_size=batch_size, verbose=0, return_dict=True
        )
        return _numbers(found)

    def predict(self, batch_size: int) -> None:
        """Write what it says."""
        found = self._model.predict(self._data()["x"], batch_size=batch_size, verbose=0)
        (self._folder / "outputs.pickle").write_bytes(pickle.dumps(found))

    def convert(self, formats: str | list[str], options: dict) -> None:
        """Write its flatbuffers."""
        from converters import convert

        files = convert(self._model, formats, self._data()["calibration"], **options)
        (self._folder / "files.pickle").write_bytes(pickle.dumps(files))

    def strip(self) -> None:
        """Write the weights that were trained, by layer."""
        from edgekit import tfmot

        plain = tfmot.strip(self._model)
        weights = {
            f"{layer.name}/{number}": np.asarray(weight)
            for layer in plain.layers
            for number, weight in enumerate(layer.weights)
        }
        np.savez(self._folder / "weights.npz", **weights)

    def say(self, **message) -> None:
        """Answer the parent."""
        self._messages.say(f"{MARK}{json.dumps(message)}")

    def _data(self) -> dict:
        return pickle.loads((self._folder / "data.pickle").read_bytes())


def _each(value, get):
    """One loss or metric, or several by output."""
    if isinstance(value, list):
        return [_each(item, get) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _each(item, get) for name, item in value.items()}
    return get(_of_tf_keras(value)) if isinstance(value, dict) else value


def _of_tf_keras(part):
    """A loss or metric of Keras 3 in tf_keras's words."""
    if not isinstance(part, dict):
        return part
    if part.get("class_name") == "function":
        return part["config"]
    config = {key: value for key, value in part["config"].items() if key != "dtype"}
    return {"class_name": part["class_name"], "config": config}


def _optimizer(part):
    """The optimizer of that name, with the settings that both have."""
    import tf_keras

    if not isinstance(part, dict):
        return tf_keras.optimizers.get(part)
    kind = getattr(tf_keras.optimizers, part["class_name"], None)
    if kind is None:
        raise ValueError(f"tf_keras has no optimizer {part['class_name']!r}")
    if "learning_rate" not in part["config"]:
        raise ValueError(f"{part['class_name']} is no optimizer that TFMOT's process can make")
    if (part["config"].get("gradient_accumulation_steps") or 1) > 1:
        raise ValueError("tf_keras has no `gradient_accumulation_steps`: leave it out")
    known = inspect.signature(kind).parameters
    settings = {key: value for key, value in part["config"].items() if key in known}
    rate = settings["learning_rate"]
    if isinstance(rate, dict):
        schedule = getattr(tf_keras.optimizers.schedules, rate["class_name"], None)
        if schedule is None:
            raise ValueError(f"tf_keras has no learning rate schedule {rate['class_name']!r}")
        settings["learning_rate"] = schedule(**rate["config"])
    return kind(**settings)


def _said(error: Exception) -> str:
    """What an error says, without the way that TensorFlow took to it."""
    text = str(error)
    found = list(re.finditer(r"^ *\w+(?:Error|Exception): ", text, re.MULTILINE))
    return text[found[-1].end() :].strip() if found else text or type(error).__name__


def _numbers(logs) -> dict:
    return {name: float(value) for name, value in (logs or {}).items()}


def main(folder: Path) -> None:
    """Do jobs until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, and a terminal tells all
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    worker = Worker(folder, Messages(folder / OUTPUT))
    for line in sys.stdin:
        job = json.loads(line)
        try:
            worker.say(done=getattr(worker, job.pop("do"))(**job))
        except Exception as error:  # of any kind: the parent raises it
            if os.environ.get("EDGEKIT_TRACEBACK"):
                raise
            worker.say(error=_said(error), kind=type(error).__name__)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
