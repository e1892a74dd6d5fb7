"""Samples and labels that a classifier can be trained on."""

import numpy as np

from edgekit.distillation.endings import SIGMOID


def check_labelled(x: np.ndarray, y: np.ndarray, activation: str, width: int | None) -> None:
    """Refuse what is no data of a classifier.

    Args:
        x: Samples.
        y: Class numbers, shares of classes (one-hot), or yes and no of each sigmoid.
        activation: Of the classifier: `"softmax"`, `"linear"` or `"sigmoid"`.
        width: Its classes, or its sigmoids.

    Raises:
        ValueError: No numbers, some that are not finite, or labels of another kind.
    """
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{name} must be numbers. Received: {values.dtype}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are not finite: NaN or infinity")
    if activation == SIGMOID:
        if y.size != len(y) * (width or 1) or not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"y must be 0 or 1 for each of {width} sigmoids. Received: shape {y.shape}, "
                f"{y.min():g} to {y.max():g}"
            )
    elif y.size == len(y):
        if (y != np.round(y)).any() or y.min() < 0 or (width is not None and y.max() >= width):
            raise ValueError(
                f"y must be class numbers from 0 to {'…' if width is None else width - 1}. "
                f"Received: {y.min():g} to {y.max():g}"
            )
    elif y.ndim != 2 or width not in (None, y.shape[1]) or not _shares(y):
        raise ValueError(
            f"y must be class numbers, or one-hot of {width} classes. Received: shape {y.shape}, "
            f"{y.min():g} to {y.max():g}"
        )


def _shares(y: np.ndarray) -> bool:
    """Whether the classes of each sample add up to 1."""
    return bool(y.min() >= 0 and np.abs(y.sum(axis=1) - 1).max() < 1e-3)
