"""Tables of a flatbuffer as dicts, and back, by a schema that is data.

A table is `{field: value}` of the fields that it has. A union is `(kind, table)`. What the schema
does not know is left out, and counted under the key `UNKNOWN`.
"""

import struct
from typing import Any

import flatbuffers
import numpy as np

from converters.metadata.schema import TABLES, UNIONS

UNKNOWN = "unknown fields"
_SCALARS = {
    "int8": ("<b", "Int8"),
    "uint8": ("<B", "Uint8"),
    "int32": ("<i", "Int32"),
    "uint32": ("<I", "Uint32"),
    "float32": ("<f", "Float32"),
}
Table = dict[str, Any]


def read_tree(content: bytes, root: str) -> Table:
    """The root table of a flatbuffer.

    Raises:
        ValueError: Its offsets lead out of it, or it claims more than it has.
    """
    try:
        return _Reader(content).root(root)
    except (struct.error, IndexError) as error:
        raise ValueError(f"damaged flatbuffer: {error}") from None


def write_tree(table: Table, root: str, identifier: bytes) -> bytes:
    """A table as the root of a flatbuffer."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, table, root), identifier)
    return bytes(builder.Output())


class _Reader:
    """Reads within bounds, and no more tables and strings than the bytes could hold."""

    def __init__(self, content: bytes):
        self.content, self.left = content, len(content)

    def root(self, kind: str) -> Table:
        return self._table(self._number("<I", 0), kind)

    def _number(self, form: str, place: int) -> int | float:
        if place < 0:
            raise ValueError("damaged flatbuffer: an offset leads out of it")
        return struct.unpack_from(form, self.content, place)[0]

    def _spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise ValueError("damaged flatbuffer: it claims more than its bytes hold")

    def _table(self, place: int, kind: str) -> Table:
        self._spend(4)
        vtable = place - self._number("<i", place)
        count = (self._number("<H", vtable) - 4) // 2
        found, slot = {}, 0
        for name, field in TABLES[kind].items():
            width = 2 if field in UNIONS else 1
            offsets = [
                self._number("<H", vtable + 4 + 2 * number) if number < count else 0
                for number in range(slot, slot + width)
            ]
            slot += width
            if all(offsets):
                found[name] = self._value([place + offset for offset in offsets], field)
        unknown = sum(1 for n in range(slot, count) if self._number("<H", vtable + 4 + 2 * n))
        if unknown:
            found[UNKNOWN] = unknown
        return found

    def _value(self, places: list[int], field: str):
        place = places[-1]
        if field in _SCALARS:
            return self._number(_SCALARS[field][0], place)
        target = place + self._number("<I", place)
        if field == "string":
            return self._bytes(target).decode(errors="replace")
        if field in TABLES:
            return self._table(target, field)
        if field in UNIONS:
            kind = self._number("<B", places[0])
            known = UNIONS[field]
            return kind, self._table(target, known[kind - 1]) if 0 < kind <= len(known) else {}
        return self._vector(target, field[1:-1])

    def _bytes(self, place: int, width: int = 1) -> bytes:
        count = self._number("<I", place) * width
        self._spend(count)
        if place + 4 + count > len(self.content):
            raise ValueError("damaged flatbuffer: a vector is longer than the file")
        return self.content[place + 4 : place + 4 + count]

    def _vector(self, place: int, field: str) -> list:
        if field in _SCALARS:
            form = _SCALARS[field][0]
            return np.frombuffer(self._bytes(place, struct.calcsize(form)), form).tolist()
        count = self._number("<I", place)
        self._spend(4 * count)
        return [self._value([place + 4 + 4 * i], field) for i in range(count)]


def _write_table(builder: flatbuffers.Builder, table: Table, kind: str) -> int:
    slots, number = [], 0
    for name, field in TABLES[kind].items():
        if name in table:
            slots += _slots(builder, table[name], field, number)
        number += 2 if field in UNIONS else 1
    builder.StartObject(number)
    for place, (method, value) in slots:
        if method == "offset":
            builder.PrependUOffsetTRelativeSlot(place, value, 0)
        else:  # a default of None writes zeros too, as they were read
            getattr(builder, f"Prepend{method}Slot")(place, value, None)
    return builder.EndObject()


def _slots(builder, value, field: str, number: int) -> list[tuple[int, tuple[str, Any]]]:
    if field in _SCALARS:
        return [(number, (_SCALARS[field][1], value))]
    if field in UNIONS:
        kind, table = value
        known = UNIONS[field]
        if not 0 < kind <= len(known):
            return []
        offset = _write_table(builder, table, known[kind - 1])
        return [(number, ("Uint8", kind)), (number + 1, ("offset", offset))]
    return [(number, ("offset", _write_value(builder, value, field)))]


def _write_value(builder, value, field: str) -> int:
    if field == "string":
        return builder.CreateString(value)
    if field in TABLES:
        return _write_table(builder, value, field)
    inner = field[1:-1]
    if inner in _SCALARS:
        return builder.CreateNumpyVector(np.asarray(value, inner))
    offsets = [_write_value(builder, item, inner) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
