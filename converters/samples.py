"""Samples: what a user hands over as input data, matched to a model's inputs by name."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from converters.bounded_zip import check_zip_file
from converters.feeding import feeding
from converters.files import existing_file
from converters.images import read_images
from converters.input_values import check_finite, fit_values, is_text, range_note
from converters.model_info import ModelInfo

# Which array of a file with several is taken, where none has the input's name: what ranges or
# weights come from never sees the test set unasked, what is judged is judged on it.
LEARNS = ("x", "x_train")
JUDGES = ("x", "x_test", "x_train")

Samples = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray] | str | os.PathLike


def load_samples(path: str | os.PathLike) -> np.ndarray | dict[str, np.ndarray]:
    """Samples from a `.npy` file, or a `.npz` file with one array per input.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read as either, or claims far more than it holds.
    """
    path = existing_file(path)
    check_zip_file(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            others = [name for name in loaded.zip.namelist() if not name.endswith(".npy")]
            if others:
                raise ValueError(f"it holds {others[0]}")
        return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except Exception as error:
        # np.load raises zipfile, pickle, EOF and value errors alike for a damaged file.
        raise ValueError(f"{path} is not a readable .npy or .npz file: {error}") from None


def match_inputs(
    samples: Samples,
    inputs: Mapping[str, tuple],
    argument: str,
    in_order: bool = False,
    names: Sequence[str] = JUDGES,
    batched: bool = True,
    strings: bool = False,
) -> dict[str, np.ndarray]:
    """The samples as one array per input name.

    Args:
        samples: An array for a model with one input; `{name: array}` (or a sequence, where
            `in_order`) for several; or the path of a `.npy` or `.npz` file. A dict or `.npz` for
            one input may also name its only array anything, or hold one of `names` beside labels.
        inputs: `{input name: shape with batch}`, None for a size that may be any.
        argument: What the error messages call the samples.
        in_order: Whether `inputs` are in the order of the user's model, so that a sequence can
            be told apart; a flatbuffer's are not. Defaults to `False`.
        names: Names that mean the samples, the first that is there. Defaults to `JUDGES`.
        batched: Whether first sizes count samples, so that any will do if all inputs have the
            same. Defaults to `True`.
        strings: Whether values may be strings. Defaults to `False`.

    Raises:
        ValueError: Empty, NaN or infinite samples, wrong shapes, names or counts.
    """
    if isinstance(samples, (str, os.PathLike)):
        folder = Path(samples).is_dir()
        samples = read_images(Path(samples), inputs, argument) if folder else load_samples(samples)
    wanted = list(inputs)
    if isinstance(samples, Mapping):
        samples = _pick(dict(samples), wanted, argument, names)
    elif isinstance(samples, (list, tuple)) and len(wanted) > 1 and in_order:
        if len(samples) != len(wanted):
            raise ValueError(
                f"`{argument}` must hold one array for each of the inputs {wanted}. Received "
                f"{len(samples)}"
            )
        samples = dict(zip(wanted, samples, strict=True))
    elif len(wanted) != 1:
        all_of_them = f"a dict with an array for each of the inputs {wanted}" if wanted else "{}"
        raise ValueError(f"`{argument}` must be {all_of_them}")
    else:
        (shape,) = inputs.values()
        if isinstance(samples, (list, tuple)) and len(samples) == 1 and fits_batch(*samples, shape):
            (samples,) = samples  # a list of the model's inputs, of which there is one
        samples = {wanted[0]: samples}
    arrays = {
        name: _check(name, samples[name], inputs[name], argument, batched, strings)
        for name in wanted
    }
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    if batched and len(set(lengths.values())) > 1:
        raise ValueError(f"`{argument}` must hold as many samples for each input: {lengths}")
    return arrays


def match_tensors(
    samples: Samples, model: ModelInfo, argument: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The samples as one array per input of a LiteRT model, of values that it can take.

    Args:
        samples: As in `match_inputs`.
        model: Whose inputs they are for.
        argument: What the error messages call the samples.

    Returns:
        Arrays by input name, strings as objects of `bytes`; and by input name notes on values that
        the model takes, but not as they are meant: far outside an integer input's range, or all on
        a few of its steps.

    Raises:
        ValueError: As in `match_inputs`; incomplete batches; values that an input cannot take.
    """
    rules = feeding(model)
    arrays = match_inputs(
        samples, rules.shapes, argument, batched=rules.step is not None, strings=True
    )
    if rules.step and rules.count(arrays) % rules.step:
        raise ValueError(
            f"`{argument}` must hold whole batches of {rules.step}. Received "
            f"{rules.count(arrays)} samples"
        )
    fitting = {
        name: fit_values(array, model.inputs[name], f"`{argument}` for input {name!r}")
        for name, array in arrays.items()
    }
    notes = {
        name: range_note(array, model.inputs[name], f"`{argument}` for input {name!r}")
        for name, array in fitting.items()
    }
    return fitting, {name: note for name, note in notes.items() if note}


def by_name(samples, inputs: Mapping[str, tuple], order: Sequence[str] | None):
    """A list of arrays as a dict by input name; anything else, and a list in doubt, as it is.

    Args:
        samples: As in `match_inputs`.
        inputs: `{input name: shape with batch}`.
        order: Names of the inputs in the order of the list; None where that is not known, so that
            only shapes can tell.
    """
    if not isinstance(samples, (list, tuple)) or not len(samples) == len(inputs) > 1:
        return samples
    if order is not None:
        return dict(zip(order, samples, strict=True))
    fitting = [[n for n, shape in inputs.items() if fits_batch(a, shape)] for a in samples]
    names = [found[0] for found in fitting if len(found) == 1]
    return dict(zip(names, samples, strict=True)) if len(set(names)) == len(inputs) else samples


def fits_batch(values, shape: tuple) -> bool:
    """Whether `values` are numbers of shape `(samples, *shape[1:])`."""
    found = _numbers_shape(values)
    return found is not None and _fits(found[1:], shape[1:]) and len(found) == len(shape)


def fits_sample(values, shape: tuple) -> bool:
    """Whether `values` are numbers of shape `shape[1:]`."""
    found = _numbers_shape(values)
    return found is not None and _fits(found, shape[1:])


def _numbers_shape(values) -> tuple | None:
    try:
        values = np.asarray(values)
    except (ValueError, TypeError):  # parts of different lengths
        return None
    counts = np.issubdtype(values.dtype, np.number) or values.dtype == bool
    return values.shape if counts else None


def _fits(found: tuple, wanted: tuple) -> bool:
    return len(found) == len(wanted) and all(
        want in (None, have) for have, want in zip(found, wanted, strict=True)
    )


def _pick(samples: dict, wanted: list[str], argument: str, names: Sequence[str]) -> dict:
    if set(wanted) <= set(samples):
        return {name: samples[name] for name in wanted}
    if len(wanted) == 1:
        known = [name for name in names if name in samples]
        candidates = known or (list(samples) if len(samples) == 1 else [])
        if candidates:
            return {wanted[0]: samples[candidates[0]]}
        either = f", or one of {', '.join(names)}"
    else:
        either = ""
    raise ValueError(
        f"`{argument}` must hold arrays named {wanted}{either}. Received names: {list(samples)}"
    )


def _check(
    name: str, array: np.ndarray, shape: tuple, argument: str, batched: bool, strings: bool
) -> np.ndarray:
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise ValueError(f"`{argument}` for {name!r} is not an array: {error}") from None
    if array.dtype == object and not (strings and is_text(array)):
        raise ValueError(
            f"`{argument}` for {name!r} is an array of Python objects, not of numbers: stack them "
            "into one array (numpy.stack)"
        )
    if array.dtype.kind not in "fiub" and not (strings and is_text(array)):
        raise ValueError(f"`{argument}` for {name!r} must be numbers. Received: {array.dtype}")
    first = ("samples",) if batched and shape else ()
    sides = (None, *shape[1:]) if first else shape
    if array.ndim != len(shape) or any(
        want is not None and have != want for have, want in zip(array.shape, sides, strict=True)
    ):
        wanted = ", ".join((*first, *("any" if n is None else str(n) for n in sides[len(first) :])))
        wanted = f"have shape ({wanted})" if shape else "be a single number, of shape ()"
        raise ValueError(f"`{argument}` for input {name!r} must {wanted}. Received: {array.shape}")
    if array.size == 0:
        raise ValueError(f"`{argument}` for input {name!r} is empty")
    check_finite(array, np.dtype("float32"), f"`{argument}` for input {name!r}")
    return array
