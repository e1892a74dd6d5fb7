"""Metadata, read back with nothing but `struct`: by the field numbers of the public schema."""

import io
import json
import struct
import zipfile

import flatbuffers
import numpy as np
import pytest

from converters import Flatbuffer, inspect, package
from converters.integer.file import FlatFile
from converters.metadata import Metadata, TensorMetadata, read_metadata
from converters.metadata.tree import read_tree
from converters.packaging.labels import given_labels, labels_by_output, warn_of_misfits
from converters.packaging.metadata import with_metadata
from converters.packaging.normalization import given_normalizations
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
        given_normalizations(ports, normalization),
        given_labels(ports, labels, default=True),
        read_metadata(file.content),
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
    content = with_metadata(recurrent.content, "net", ports, {}, None, Metadata())
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


def foreign_metadata() -> bytes:
    """As another program writes them: a field of a later schema, labels in two languages."""
    builder = flatbuffers.Builder(64)

    def table(fields):
        builder.StartObject(max(fields) + 1)
        for number, (method, value) in fields.items():
            getattr(builder, f"Prepend{method}Slot")(number, value, None)
        return builder.EndObject()

    def vector(offsets):
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def text(value):
        return "UOffsetTRelative", builder.CreateString(value)

    def labels(name, locale):
        name, locale = text(name), text(locale)
        return table({0: name, 2: ("Int8", 2), 3: locale})

    def numbers(*values):
        return "UOffsetTRelative", builder.CreateNumpyVector(np.float32(values))

    mean, std = numbers(1.5, 2.5, 3.5), numbers(0.25)
    options = "UOffsetTRelative", table({0: mean, 1: std})
    units = "UOffsetTRelative", vector([table({0: ("Uint8", 1), 1: options})])
    low, high = numbers(-1), numbers(7)
    stats = "UOffsetTRelative", table({0: high, 1: low})
    name, about = text("picture"), text("a picture\nof a thing")
    inputs = "UOffsetTRelative", vector([table({0: name, 1: about, 4: units, 5: stats})])
    files = vector([labels("names_de.txt", "de"), labels("names_en.txt", "en")])
    outputs = "UOffsetTRelative", vector([table({6: ("UOffsetTRelative", files)})])
    graph = "UOffsetTRelative", vector([table({2: inputs, 3: outputs})])
    fields = {0: text("birds"), 2: text("v2"), 3: graph, 4: text("A. Uthor"), 5: text("Apache-2.0")}
    builder.Finish(table({**fields, 9: ("Int32", 77)}), b"M001")
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def foreign(files):
    """A file of another program, with its metadata and a zip behind it."""
    file = FlatFile(files["int8"].content)
    entry = file.schema.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(file.model.buffers)
    file.model.metadata = [*(file.model.metadata or []), entry]
    buffer = file.schema.BufferT()
    buffer.data = np.frombuffer(foreign_metadata(), "uint8")
    file.model.buffers.append(buffer)
    whole = io.BytesIO(file.with_all_tensors())
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("names_de.txt", "Amsel\nDrossel\nFink\nStar\n")
        archive.writestr("names_en.txt", "blackbird\nthrush\n???\nstarling\r\n")
        archive.writestr("vocab.txt", "of no one\n")
    return Flatbuffer(whole.getvalue())


NAMES = ["blackbird", "thrush", "???", "starling"]


def test_what_another_program_wrote_is_read(foreign):
    found = read_metadata(foreign.content)
    assert (found.name, found.version, found.author) == ("birds", "v2", "A. Uthor")
    (image,), (classes,) = found.inputs, found.outputs
    assert (image.name, image.mean, image.std) == ("picture", (1.5, 2.5, 3.5), (0.25,))
    assert (image.minimum, image.maximum) == ((-1.0,), (7.0,))
    assert list(classes.labels) == NAMES
    assert set(found.files) == {"names_de.txt", "names_en.txt", "vocab.txt"}
    line = inspect(foreign).summary().splitlines()[1]
    assert line == (
        "metadata: birds; version v2; by A. Uthor; license Apache-2.0; normalization mean "
        "1.5, 2.5, 3.5, std 0.25; 4 labels; files names_de.txt, names_en.txt, vocab.txt"
    )
    assert inspect(foreign).to_dict()["metadata"]["outputs"][0]["labels"] == tuple(NAMES)


def test_a_package_keeps_every_byte_of_what_the_file_says(foreign, tmp_path):
    package(foreign, "android", tmp_path, name="birds")
    assert (tmp_path / "birds.tflite").read_bytes() == foreign.content
    contract = json.loads((tmp_path / "contract.json").read_text())
    assert contract["outputs"][0]["labels"] == NAMES
    assert contract["inputs"][0]["normalization"]["mean"] == [1.5, 2.5, 3.5]
    assert contract["inputs"][0]["normalization"]["source"] == "in the file's metadata"
    assert contract["metadata"]["license"] == "Apache-2.0"
    assert (tmp_path / "labels.txt").read_text() == "".join(f"{name}\n" for name in NAMES)
    assert "`a picture of a thing`" in (tmp_path / "CONTRACT.md").read_text()


def test_what_the_user_says_takes_its_place_and_all_else_stays(foreign, tmp_path):
    with pytest.warns(UserWarning, match="1 fields that this version"):
        package(foreign, "android", tmp_path, ["a", "b", "c", "d"], (0, 2), name="birds")
    content = (tmp_path / "birds.tflite").read_bytes()
    found = read_metadata(content)
    before = read_metadata(foreign.content)
    assert found.outputs[0].labels == ("a", "b", "c", "d")
    assert (found.inputs[0].mean, found.inputs[0].std) == ((0.0,), (2.0,))
    for same in ("name", "version", "author", "license", "description"):
        assert getattr(found, same) == getattr(before, same)
    for same in ("name", "description", "minimum", "maximum"):
        assert getattr(found.inputs[0], same) == getattr(before.inputs[0], same)
    assert found.files["vocab.txt"] == b"of no one\n"
    model = Table.root(metadata_of(content))  # by the public schema's numbers
    assert [model.text(n) for n in (0, 2, 4, 5)] == ["birds", "v2", "A. Uthor", "Apache-2.0"]


def test_a_packaged_file_packaged_again(files, tmp_path):
    labels, normalization = ["cat", "dog", "eel", "fox"], (127.5, 64)
    package(files["int8"], "android", tmp_path / "a", labels, normalization, name="m")
    package(tmp_path / "a" / "m.tflite", "android", tmp_path / "b")
    once, again = (tmp_path / part / "m.tflite" for part in "ab")
    assert again.read_bytes() == once.read_bytes()
    contract = json.loads((tmp_path / "b" / "contract.json").read_text())
    assert contract["outputs"][0]["labels"] == labels
    assert contract["inputs"][0]["normalization"]["std"] == [64.0]
    package(once, "mcu", tmp_path / "c")
    assert '"eel"' in (tmp_path / "c" / "model_settings.h").read_text()


def test_labels_that_do_not_fit_are_left_out_of_the_contract(foreign):
    ports = read_ports(foreign.content)
    wrong = Metadata(outputs=(TensorMetadata(labels=("one", "two")),))
    assert labels_by_output(ports, wrong, None) == {}
    with pytest.warns(UserWarning, match="names 2 classes for output"):
        warn_of_misfits(ports, wrong)
    numbers = Metadata(outputs=(TensorMetadata(value_labels=("one", "two")),))
    assert labels_by_output(ports, numbers, None) == {"output_0": ["one", "two"]}


@pytest.mark.parametrize("step", [1, 7])
def test_damaged_metadata_are_an_error_and_never_endless(step):
    whole = foreign_metadata()
    rng = np.random.default_rng(step)
    for cut in range(0, len(whole), step):
        for damaged in (whole[:cut], whole[:cut] + rng.bytes(4) + whole[cut + 4 :]):
            try:
                tree = read_tree(damaged, "ModelMetadata")
            except ValueError:
                continue
            assert isinstance(tree, dict)


def test_a_few_bytes_cannot_claim_many_tables():
    """Vectors of vectors of one table each: 40 times 40 times 40 from a few hundred bytes."""
    builder = flatbuffers.Builder(64)

    def many(offset, field):
        builder.StartVector(4, 40, 4)
        for _ in range(40):
            builder.PrependUOffsetTRelative(offset)
        vector = builder.EndVector()
        builder.StartObject(10)
        builder.PrependUOffsetTRelativeSlot(field, vector, 0)
        return builder.EndObject()

    builder.StartObject(1)
    unit = builder.EndObject()
    builder.Finish(many(many(many(unit, 4), 2), 3))
    with pytest.raises(ValueError, match="claims more than its bytes hold"):
        read_tree(bytes(builder.Output()), "ModelMetadata")


def test_a_zip_that_claims_too_much_is_refused(foreign):
    whole = io.BytesIO(foreign.content)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(100_000_000))
    with pytest.raises(ValueError, match="unpacks to 100,000,0.. bytes"):
        read_metadata(whole.getvalue())
    assert "unpacks to" in inspect(Flatbuffer(whole.getvalue())).summary()
