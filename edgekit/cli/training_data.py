"""Labelled samples from a file."""

from pathlib import Path

import numpy as np

from converters.files import existing_file


def labelled_data(path: str) -> tuple[np.ndarray, np.ndarray]:
    """`(x, y)` of an `.npz` file with these names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none, has no `x` or `y`, or not as many of one as of the other.
    """
    if existing_file(path).suffix != ".npz":
        raise ValueError(f"{path}: expected an .npz with arrays x and y (numpy.savez)")
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = list(stored.files)
            found = [stored[name] for name in ("x", "y") if name in names]
    except Exception as error:  # a damaged zip raises anything
        raise ValueError(f"{Path(path)} cannot be read: {error}") from None
    if len(found) < 2:
        raise ValueError(f"{path} has arrays {', '.join(names) or '(none)'}: name them x and y")
    x, y = found
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"{path} has {len(x)} samples in x and {len(y)} in y")
    return x, y
