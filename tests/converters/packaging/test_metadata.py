"""Metadata, read back with nothing but `struct`: by the field numbers of the public schema."""

import io
import struct
import zipfile

import numpy as np
import pytest

from converters import Flatbuffer
from converters.packaging.labels import output_labels
from converters.packaging.metadata import with_metadata
from converters.packaging.normalization import input_normalizations
from converters.packaging.ports import read_ports


class Table:
    """A flatbuffer table at an offset."""

    def __init__(self, data: bytes, at: int):
        self.data, self.at = data, at

    @classmethod
    def root(cls, data: bytes) -> "Table":
        return cls(data, struct.unpack_from("<I", data)[0])

    def _field(self, number: int) -> int:
        """Where a field is; 0 if it is not set."""
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, vtable)[0]:
            return 0
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0]
        return self.at + offset if offset else 0

    def _target(self, number: int) -> int:
        field = self._field(number)
        return field + struct.unpack_from("<I", self.data, field)[0]

    def has(self, number: int) -> bool:
        return bool(self._field(number))

    def table(self, number: int) -> "Table":
        return Table(self.data, self._target(number))

    def byte(self, number: int) -> int:
        return self.data[self._field(number)]

    def bytes(self, number: int) -> bytes:
        start = self._target(number)
        return self.data[start + 4 : start + 4 + struct.unpack_from("<I", self.data, start)[0]]

    def text(self, number: int) -> str:
        return self.bytes(number).decode()

    def floats(self, number: int) -> list[float]:
        start = self._target(number)
        count = struct.unpack_from("<I", self.data, start)[0]
        return list(struct.unpack_from(f"<{count}f", self.data, start + 4))

    def tables(self, number: int) -> list["Table"]:
        start = self._target(number)
        count = struct.unpack_from("<I", self.data, start)[0]
        places = (start + 4 + 4 * i for i in range(count))
        return [Table(self.data, p + struct.unpack_from("<I", self.data, p)[0]) for p in places]


def packed(file, labels=None, normalization=None):
    ports = read_ports(file.content)
    return with_metadata(
        file.content,
        "net",
        ports,
        input_normalizations(ports, normalization),
        output_labels(ports, labels, default=True),
    )


def metadata_of(content: bytes) -> bytes:
    model = Table.root(content)  # Model: metadata 6, buffers 4
    entries = {m.text(0): m for m in model.tables(6)}
    entry = entries["TFLITE_METADATA"]
    number = struct.unpack_from("<I", content, entry._field(1))[0]
    return model.tables(4)[number].bytes(0)


def test_tensors_labels_and_normalisation(files):
    content = packed(files["int8"], ["a", "b", "ç", "d"], (127.5, [1, 2, 3]))
    data = metadata_of(content)
    assert data[4:8] == b"M001"
    model = Table.root(data)
    assert (model.text(0), model.text(7)) == ("net", "1.0.0")
    (graph,) = model.tables(3)
    (image,), (classes,) = graph.tables(2), graph.tables(3)
    assert (image.text(0), classes.text(0)) == ("image", "output_0")
    assert image.text(1).startswith("int8 1×8×8×3")
    (unit,) = image.tables(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([127.5], [1, 2, 3])
    content_of = image.table(3)
    assert content_of.byte(0) == 2  # ImageProperties
    assert content_of.table(1).byte(0) == 1  # RGB
    assert classes.table(3).byte(0) == 1  # FeatureProperties
    assert classes.table(5).floats(0) == pytest.approx([255 / 256])
    assert classes.table(5).floats(1) == [0]
    (labels,) = classes.tables(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode() == "a\nb\nç\nd\n"


def test_without_labels_nor_normalisation(recurrent, trained_qat):
    import edgekit as ek

    plain = ek.convert(trained_qat, ["int8"], edges="float32")["int8"]
    (graph,) = Table.root(metadata_of(packed(plain))).tables(3)
    (image,) = graph.tables(2)
    assert not image.has(4)  # no process units
    assert not image.has(5)  # nor a range: the file does not know it
    ports = read_ports(recurrent.content)
    content = with_metadata(recurrent.content, "net", ports, {}, None)
    assert not zipfile.is_zipfile(io.BytesIO(content))


def test_tensors_are_in_the_order_of_the_graph(two_inputs):
    (graph,) = Table.root(metadata_of(packed(two_inputs))).tables(3)
    assert [t.text(0) for t in graph.tables(2)] == ["b", "a"]
    assert [t.has(6) for t in graph.tables(3)] == [False, True]


@pytest.mark.parametrize("name", ["float32", "float16", "int8"])
def test_the_model_computes_the_same(files, data, name):
    again = Flatbuffer(packed(files[name]))
    for kernels in ("xnnpack", "reference"):
        expected = files[name].predict(data[0][:8], kernels)
        np.testing.assert_array_equal(again.predict(data[0][:8], kernels), expected)


def test_constants_are_at_multiples_of_16(files):
    content = packed(files["int8"])
    buffers = [b for b in Table.root(content).tables(4) if b.has(0)]
    assert len(buffers) > 5
    assert {(b._target(0) + 4) % 16 for b in buffers} == {0}


def test_new_metadata_replace_the_old(files):
    once = packed(files["int8"], ["a", "b", "c", "d"])
    again = Flatbuffer(once)
    assert packed(again, ["a", "b", "c", "d"]) == once
    other = packed(again, ["e", "f", "g", "h"])
    with zipfile.ZipFile(io.BytesIO(other)) as archive:
        assert archive.read("labels.txt") == b"e\nf\ng\nh\n"
