"""Which values an input of a LiteRT model takes, and which it takes for something else."""

import numpy as np

from converters.model_info import TensorInfo

# Beyond the range of an input by more than that share of it is far outside, and more values so
# than that share are no outliers.
_FAR, _MANY = 0.05, 0.02
# Values that differ but fall on so few steps are in another scale.
_DIFFERENT, _FEW_STEPS, _LOOKED_AT = 16, 3, 100_000


def fit_values(array: np.ndarray, tensor: TensorInfo, what: str) -> np.ndarray:
    """The values, refused where the tensor would store others in their place.

    Args:
        array: Real or stored values; strings for a tensor of strings.
        tensor: The input.
        what: What the messages call the values.

    Returns:
        The array; strings as objects of `bytes`, as LiteRT takes them.

    Raises:
        ValueError: Numbers where strings belong or the other way round, fractions or numbers out
            of range for integers, neither 0 nor 1 for booleans, infinite in the input's dtype.
    """
    if tensor.dtype in ("resource", "variant"):
        raise ValueError(f"{what} cannot be given: it is of dtype {tensor.dtype}")
    if tensor.dtype == "string":
        return _bytes(array, what)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{what} must be numbers. Received: {array.dtype}")
    if tensor.dtype == "bool":
        if not np.isin(array, (0, 1)).all():
            raise ValueError(f"{what} must be true or false, 0 or 1")
    elif tensor.dtype.startswith(("int", "uint")):
        if not tensor.scales and array.dtype != tensor.dtype:
            _check_whole(array, tensor.dtype, what)
    elif tensor.dtype in ("float16", "float32", "float64"):
        check_finite(array, np.dtype(tensor.dtype), what)
    return array


def check_finite(array: np.ndarray, dtype: np.dtype, what: str) -> None:
    """Refuse what is not finite once it is stored as `dtype`."""
    if array.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(dtype)).all()
    if not finite:
        raise ValueError(
            f"{what} holds NaN or infinite values, or some that are too large for {dtype}"
        )


def is_text(array: np.ndarray) -> bool:
    """Whether an array holds strings and nothing else."""
    if array.dtype.kind in "SU":
        return True
    return array.dtype == object and all(isinstance(v, (str, bytes)) for v in array.ravel())


def range_note(array: np.ndarray, tensor: TensorInfo, what: str) -> str | None:
    """A sentence on real values in another scale than a quantized input's; None if they fit.

    Args:
        array: Values of the input; those of its own dtype are stored ones, and fit.
        tensor: The input.
        what: What the sentence calls the values.
    """
    limits = _limits(tensor)
    if limits is None or array.dtype == tensor.dtype:
        return None
    low, high = limits
    real = array.ravel()[:: max(1, array.size // _LOOKED_AT)].astype(np.float64)
    slack = _FAR * (high - low)
    outside = float(np.mean((real < low - slack) | (real > high + slack)))
    reach = f"{real.min():.4g} to {real.max():.4g}"
    cure = "Bring them to the scale of the samples that the model was trained and calibrated on"
    if outside > _MANY:
        return (
            f"{what}: {outside:.0%} of the values are outside what the file takes, {low:.4g} to "
            f"{high:.4g}, and are clipped: they reach from {reach}. {cure}"
        )
    steps = len(np.unique(np.round(real / tensor.scales[0])))
    if steps <= _FEW_STEPS and len(np.unique(real)) > _DIFFERENT:
        return (
            f"{what}: the values reach from {reach}, which the file stores as {steps} of its "
            f"{round((high - low) / tensor.scales[0]) + 1} steps from {low:.4g} to {high:.4g}. "
            f"{cure}"
        )
    return None


def _limits(tensor: TensorInfo) -> tuple[float, float] | None:
    """Least and greatest real value of a quantized tensor; None for others."""
    if len(tensor.scales) != 1 or tensor.dtype not in ("int8", "uint8", "int16", "uint16"):
        return None
    zero_point = tensor.zero_points[0] if tensor.zero_points else 0
    limits = np.iinfo(tensor.dtype)
    return tuple((q - zero_point) * tensor.scales[0] for q in (limits.min, limits.max))


def _bytes(array: np.ndarray, what: str) -> np.ndarray:
    if not is_text(array):
        raise ValueError(f"{what} must be strings. Received: {array.dtype}")
    found = np.empty(array.shape, dtype=object)
    for place, value in np.ndenumerate(array):
        found[place] = value.encode() if isinstance(value, str) else bytes(value)
    return found


def _check_whole(array: np.ndarray, dtype: str, what: str) -> None:
    """Refuse what an integer that stands for itself would round or wrap."""
    try:
        limits = np.iinfo(dtype)
    except (TypeError, ValueError):  # of few bits
        return
    wrong = (array < limits.min) | (array > limits.max)
    if array.dtype.kind == "f":
        wrong |= array != np.round(array)
    if wrong.any():
        raise ValueError(
            f"{what} must be whole numbers from {limits.min} to {limits.max}. Received: "
            f"{array[wrong].ravel()[0]}"
        )
