"""Numbers on the command line: finite, and within bounds."""

import math

import click

LARGEST_SEED = 2**32 - 1


class RealRange(click.FloatRange):
    """A finite number within bounds, which NaN is not.

    Example:
        >>> click.option("--width", type=RealRange(0, 16, min_open=True))
    """

    def convert(self, value, param, ctx) -> float:
        """The number."""
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return super().convert(number, param, ctx)


class RealNumbers(click.ParamType):
    """Finite numbers with commas between them: `127.5` or `0.485,0.456,0.406`."""

    name = "numbers"

    def convert(self, value, param, ctx) -> list[float]:
        """The numbers."""
        if isinstance(value, list):
            return value
        try:
            numbers = [float(number) for number in value.split(",")]
        except ValueError:
            numbers = []
        if not numbers or not all(map(math.isfinite, numbers)):
            raise ValueError(
                f"{max(param.opts, key=len)} must be a number, or several with commas. Received: "
                f"{value!r}"
            )
        return numbers


SEED = click.IntRange(0, LARGEST_SEED)
