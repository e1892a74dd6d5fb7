"""The tables of a LiteRT flatbuffer: vectors, buffers and settings, read with their bounds checked.

Every vector's length is checked against the file's size before it is walked, so a damaged file
is an error and not an endless loop.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache

# How the generated accessors meet damage.
DAMAGE = (
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
)


class CorruptFlatbuffer(ValueError):
    """The bytes do not form a LiteRT model."""


class Tables:
    """A file's tables, by the accessors that LiteRT's schema generates.

    Args:
        content: The bytes of a `.tflite` file.

    Raises:
        CorruptFlatbuffer: They are no flatbuffer of LiteRT's.
    """

    def __init__(self, content: bytes):
        from ai_edge_litert import schema_py_generated as schema

        if len(content) < 8 or content[4:8] != b"TFL3":
            raise CorruptFlatbuffer("not a LiteRT flatbuffer: the mark 'TFL3' at byte 4 is missing")
        self.schema = schema
        self.content = content
        self.types = _names(schema.TensorType)
        self.op_names = _names(schema.BuiltinOperator)
        self.vectors = _names(schema.SparseIndexVector)
        self.option_kinds = (_names(schema.BuiltinOptions), _names(schema.BuiltinOptions2))
        self.root = schema.Model.GetRootAs(content, 0)

    def walk(self, owner, vector: str) -> Iterator:
        item = getattr(owner, vector)
        return (item(i) for i in range(self.length(owner, vector)))

    def numbers(self, owner, vector: str) -> list:
        if self.length(owner, vector) == 0:
            return []
        return getattr(owner, f"{vector}AsNumpy")().tolist()

    def length(self, owner, vector: str) -> int:
        length = getattr(owner, f"{vector}Length")()
        if not 0 <= length <= len(self.content):
            raise CorruptFlatbuffer(
                f"damaged LiteRT flatbuffer: {vector} claims {length} entries in a file of "
                f"{len(self.content)} bytes"
            )
        return length

    def data(self, index: int) -> bytes | None:
        if index == 0 or index >= self.root.BuffersLength():
            return None
        buffer = self.root.Buffers(index)
        if buffer.Offset() > 1:  # large models keep their data behind the flatbuffer
            start, size = buffer.Offset(), buffer.Size()
            if start + size > len(self.content):
                raise CorruptFlatbuffer("damaged LiteRT flatbuffer: data beyond the end of file")
            return self.content[start : start + size]
        if self.length(buffer, "Data") == 0:
            return None
        return buffer.DataAsNumpy().tobytes()

    def options(self, op) -> dict[str, object]:
        """The settings of an op, by the schema's names."""
        tables = (
            (op.BuiltinOptionsType(), op.BuiltinOptions),
            (op.BuiltinOptions2Type(), op.BuiltinOptions2),
        )
        for kinds, (kind, table) in zip(self.option_kinds, tables, strict=True):
            if kind in kinds and kinds[kind] != "NONE" and table() is not None:
                options = getattr(self.schema, kinds[kind])()
                options.Init(table().Bytes, table().Pos)
                plain, vectors = _settings(type(options))
                found = {name: getattr(options, method)() for name, method in plain.items()}
                numbers = {name: tuple(self.numbers(options, v)) for name, v in vectors.items()}
                return found | numbers
        return {}


@cache
def _settings(kind: type) -> tuple[dict[str, str], dict[str, str]]:
    """The accessors of a table: `{setting: method}` of single values, and of vectors of numbers."""
    methods = {
        name
        for name, method in vars(kind).items()
        if callable(method) and method.__code__.co_argcount == 1
    }
    vectors = {name.removesuffix("AsNumpy") for name in methods if name.endswith("AsNumpy")}
    lengths = {name.removesuffix("Length") for name in vars(kind) if name.endswith("Length")}
    plain = {m for m in methods if not m.endswith(("AsNumpy", "Length", "IsNone"))} - lengths

    def words(name: str) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

    return {words(name): name for name in plain}, {words(name): name for name in vectors}


@cache
def builtin_names() -> frozenset[str]:
    """Names of the ops that every LiteRT runtime has."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return frozenset(_names(BuiltinOperator).values())


def _names(enum) -> dict[int, str]:
    return {value: key for key, value in vars(enum).items() if isinstance(value, int)}
