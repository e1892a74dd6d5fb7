"""C as text: identifiers, numbers and arrays that a C11 and a C++17 compiler both take."""

import re
import zlib

import numpy as np

from converters.one_line import one_line

TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
    "bool": "uint8_t",
}
_WIDTH = 96


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_KEYWORDS = words("""
    alignas alignof and asm auto bool break case catch char class const continue default delete do
    double else enum explicit extern false final float for friend goto if inline int long mutable
    namespace new not operator or override private protected public register restrict return short
    signed sizeof static std struct switch template tflite this throw true try typedef typename
    union unsigned using virtual void volatile while xor
""")


def c_identifier(text: str) -> str:
    """Text as an identifier: what C has no letters for is `_`."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "model"
    return f"model_{plain}" if plain[0].isdigit() or plain in _KEYWORDS else plain


def comment(text: str) -> str:
    """Text in one line that cannot end a comment, nor be read as one within it."""
    plain = one_line(text).replace("*/", "* /").replace("/*", "/ *")
    return plain.replace("??", "? ?").rstrip("\\")


def string(text: str) -> str:
    """A string literal in UTF-8; trigraphs and all but plain letters are escaped."""
    plain = {*range(0x20, 0x7F)} - {ord(c) for c in '"\\?'}
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def number(value: float | int, dtype: str) -> str:
    """A value of a dtype as a literal."""
    if dtype == "int64":
        if value == -(2**63):  # C has no negative literals, and the positive one does not fit
            return "(-INT64_C(9223372036854775807) - 1)"
        return f"INT64_C({int(value)})"
    if not dtype.startswith("float"):
        return str(int(value))
    digits = f"{float(np.float32(value)):.9g}"
    return f"{digits}f" if re.search(r"[.e]", digits) else f"{digits}.0f"


def array(values: np.ndarray, dtype: str) -> str:
    """Values as the body of an initialiser, in lines of the usual length."""
    return wrapped([number(v, dtype) for v in np.ravel(values).tolist()])


def wrapped(items: list[str]) -> str:
    """Items with commas, in lines of the usual length."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) + 2 > _WIDTH:
            lines.append(line)
            line = ""
        line += f" {item}," if line else f"{item},"
    return "\n".join(f"  {text}" for text in [*lines, line])


def guarded(name: str, file: str, about: str, body: str) -> str:
    """A header with its comment and include guard.

    Args:
        name: Of the model.
        file: Of the header, `model_data.h`.
        about: The comment, without its marks.
        body: The rest.
    """
    # The name as it is: in capitals, those of two models may be one. Names that come to one
    # identifier all the same are an error for the compiler, and no header is passed over.
    told = f"{zlib.crc32((about + body).encode()):08x}"
    guard = f"EDGEKIT_{name}_{told}_{file.upper().replace('.', '_')}_"
    return f"{about}\n#ifndef {guard}\n#define {guard}\n\n{body}\n#endif  /* {guard} */\n"
