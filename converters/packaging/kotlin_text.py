"""Kotlin as text: what the runners of both of LiteRT's interfaces have in common."""

from collections.abc import Iterable
from importlib.metadata import version

from converters.one_line import one_line
from converters.packaging.c_text import words
from converters.packaging.ports import Port, Ports

RESERVED = words("""
    as break class continue do else false for fun if in interface is null object package return
    super this throw true try typealias typeof val var when while
    inputs outputs model run close quantize dequantize dequantizeUnsigned elements
""")
BYTES = ("int8", "uint8")


def release() -> str:
    """The release of LiteRT that runs here, as Maven's artifacts are numbered."""
    return ".".join(version("ai-edge-litert").split(".")[:3])


def formula(port: Port) -> str:
    """The shape of an input or output, and how its values are stored."""
    shape = "×".join(map(str, port.shape)) or "a single value"
    layout = f", probably {port.layout}" if port.layout else ""
    stored = f"; stored as {port.dtype}, real value = {port.formula}" if port.scale else ""
    return f"{shape}{layout}{stored}"


def helpers(ports: Ports) -> str:
    """Functions between real values and stored bytes, as far as the model needs them."""
    found = ""
    if any(p.scale is not None for p in ports.inputs):
        found += """
    private fun quantize(real: FloatArray, scale: Float, zero: Int, low: Int, high: Int) =
        ByteArray(real.size) {
            // What is not a number is stored as 0.0.
            val stored = if (real[it].isNaN()) zero.toFloat() else round(real[it] / scale) + zero
            stored.coerceIn(low.toFloat(), high.toFloat()).toInt().toByte()
        }
"""
    dtypes = {p.dtype for p in ports.outputs if p.scale is not None}
    if "int8" in dtypes:
        found += """
    private fun dequantize(stored: ByteArray, scale: Float, zero: Int) =
        FloatArray(stored.size) { (stored[it] - zero) * scale }
"""
    if "uint8" in dtypes:
        found += """
    private fun dequantizeUnsigned(stored: ByteArray, scale: Float, zero: Int) =
        FloatArray(stored.size) { ((stored[it].toInt() and 0xFF) - zero) * scale }
"""
    return found


def float_literal(value: float) -> str:
    """A number as Kotlin has it."""
    return f"{value:.9g}f"


def listed(items: Iterable[str]) -> str:
    """Items with commas."""
    return ", ".join(items)


def plain(text: str) -> str:
    """Text that cannot end a comment, whose lines nest as those of C do not."""
    return one_line(text).replace("*/", "* /").replace("/*", "/ *")


def string(text: str) -> str:
    """Text between the quotes of a Kotlin literal."""
    units = text.encode("utf-16-be", "surrogatepass")
    found = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    letters = {*range(0x20, 0x7F)} - {ord(c) for c in '"\\$'}
    return "".join(chr(unit) if unit in letters else f"\\u{unit:04x}" for unit in found)
