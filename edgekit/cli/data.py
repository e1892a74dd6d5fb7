"""Samples and labels from a file, under the names that people give them."""

import numpy as np

from converters.samples import load_samples

_PAIRS = (("x", "y"), ("x_train", "y_train"), ("x_test", "y_test"))


def labelled_data(path: str) -> tuple[np.ndarray, np.ndarray]:
    """`(x, y)` of an `.npz` file with these names, or with `x_train` and `y_train`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none, has no such names, or not as many of one as of the other.
    """
    found = load_samples(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected an .npz with arrays x and y (numpy.savez)")
    pair = next((pair for pair in _PAIRS if set(pair) <= set(found)), None)
    if pair is None:
        names = ", ".join(found) or "(none)"
        raise ValueError(f"{path} has arrays {names}: name them x and y, or x_train and y_train")
    x, y = (found[name] for name in pair)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) < 2:
        counts = [len(a) if a.ndim else "no" for a in (x, y)]
        raise ValueError(
            f"{path} has {counts[0]} samples in {pair[0]} and {counts[1]} in {pair[1]}"
        )
    return x, y


def load_labels(path: str) -> np.ndarray:
    """Class numbers of an `.npy`, or of an `.npz` that holds them beside `x`, or alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or names no labels.
    """
    found = load_samples(path)
    if not isinstance(found, dict):
        return found
    name = next((y for x, y in _PAIRS if y in found and (x in found or y == "y")), None)
    if name is None and len(found) == 1:
        name = next(iter(found))
    if name is None:
        raise ValueError(f"{path} has arrays {', '.join(found)}: name the labels y")
    return found[name]
