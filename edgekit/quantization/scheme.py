"""How wide integers are and how their ranges are found: `QuantScheme` and its presets."""

from collections.abc import Mapping
from dataclasses import dataclass

WEIGHT_BITS = (8, 4, 2, "ternary", "binary")
ACTIVATION_BITS = (8, 16)
ESTIMATORS = ("recent", "minmax", "ema", "percentile", "lsq")


def _check_choice(name, value, choices) -> None:
    # By type too: True is no width, and 1 no truth value.
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        options = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be one of {options}. Received: {name}={value!r}")


@dataclass(frozen=True)
class QuantScheme:
    """How the weights and activations of a layer are quantised.

    Example:
        >>> ek.quantize_aware(model, ek.QuantScheme(weight_bits=4, estimator="lsq"))
        >>> ek.quantize_aware(model, {"^stem": "int8", "": "int4"})

    Args:
        weight_bits: `8`, `4` or `2` for that many bits, symmetric and without the most
            negative integer; `"ternary"` for −a, 0, a and `"binary"` for −a, a per channel.
            Defaults to `8`.
        activation_bits: `8` or `16`. Defaults to `8`.
        per_channel: Whether each output channel of a kernel has a scale, rather than the
            tensor. Defaults to `True`.
        symmetric: Whether zero is the middle of the activations' integers (weights always are
            symmetric, 16-bit activations too). Defaults to `False`.
        estimator: How ranges of activations are found. `"recent"`: the widest of recent
            training, at least of its last 256 batches; nothing that calibration would keep is
            clipped, and what training leaves behind is forgotten. `"minmax"`: the widest ever
            seen. `"ema"`: a moving average of each batch's range, which starts as that of the
            first batch; it clips rare large values. `"percentile"`: as ema, leaving out the
            outermost values. `"lsq"`: step sizes are learned, for weights too; those of
            activations start from the widest of the first 256 batches. Defaults to `"recent"`.
        percentile: Share of the values, in percent, that `"percentile"` keeps inside the range.
            Defaults to `99.99`.

    Raises:
        ValueError: An argument is none of these.

    Source: LiteRT 8-bit quantization specification; Esser et al. 2020 (LSQ), arXiv
    1902.08153; Rastegari et al. 2016 (XNOR-Net), arXiv 1603.05279; Li et al. 2016 (TWN),
    arXiv 1605.04711.
    """

    weight_bits: int | str = 8
    activation_bits: int = 8
    per_channel: bool = True
    symmetric: bool = False
    estimator: str = "recent"
    percentile: float = 99.99

    def __post_init__(self):
        _check_choice("weight_bits", self.weight_bits, WEIGHT_BITS)
        _check_choice("activation_bits", self.activation_bits, ACTIVATION_BITS)
        _check_choice("estimator", self.estimator, ESTIMATORS)
        for name in ("per_channel", "symmetric"):
            _check_choice(name, getattr(self, name), (True, False))
        number = isinstance(self.percentile, (int, float)) and not isinstance(self.percentile, bool)
        if not (number and 50 < self.percentile <= 100):
            raise ValueError(
                "`percentile` must be above 50 and at most 100. Received: "
                f"percentile={self.percentile!r}"
            )
        if self.estimator == "lsq" and isinstance(self.weight_bits, str):
            raise ValueError(
                f"weight_bits={self.weight_bits!r} computes its scale from the weights: use "
                "another estimator than 'lsq'"
            )

    @property
    def format(self) -> str:
        """The converters' name of the files that layers of this scheme are for."""
        if self.weight_bits != 8:
            return "int4"
        return "int8" if self.activation_bits == 8 else "int16x8"


SCHEMES = {
    "int8": QuantScheme(),
    "int4": QuantScheme(weight_bits=4, estimator="lsq"),
    "int16x8": QuantScheme(activation_bits=16),
    "ternary": QuantScheme(weight_bits="ternary"),
    "binary": QuantScheme(weight_bits="binary"),
}


def as_scheme(scheme: str | QuantScheme) -> QuantScheme:
    """The scheme of a name, or the scheme itself.

    Raises:
        ValueError: An unknown name, or neither.
    """
    if isinstance(scheme, QuantScheme):
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        return SCHEMES[scheme]
    raise ValueError(
        f"`scheme` must be one of {', '.join(SCHEMES)}, a QuantScheme, or a dict "
        f"{{regex: scheme}}. Received: scheme={scheme!r}"
    )


def scheme_per_pattern(scheme) -> dict[str, QuantScheme]:
    """`{regex: scheme}` from what a user may give as `scheme`.

    Raises:
        ValueError: An empty dict, or a value that is no scheme.
    """
    if not isinstance(scheme, Mapping):
        return {"": as_scheme(scheme)}
    if not scheme:
        raise ValueError("`scheme` must not be an empty dict: {regex: scheme}")
    for pattern in scheme:
        if not isinstance(pattern, str):
            raise ValueError(f"`scheme` must have regexes as keys. Received: {pattern!r}")
    return {pattern: as_scheme(value) for pattern, value in scheme.items()}
