"""TensorFlow Lite metadata: a description inside the `.tflite`, with its files behind it as a zip.

Source: metadata_schema.fbs 1.1.0 of tensorflow/tflite-support, file identifier M001. The numbers
here are its field ids.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np

from converters.integer.file import FlatFile
from converters.packaging.normalization import Normalization
from converters.packaging.ports import Port, Ports

NAME = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
_IDENTIFIER = b"M001"
# That of the oldest parser that knows all fields written here.
_MIN_PARSER_VERSION = "1.0.0"
_TENSOR_AXIS_LABELS = 2
_NORMALIZATION_OPTIONS = 1
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_RGB = 1


def with_metadata(
    content: bytes,
    name: str,
    ports: Ports,
    normalizations: Mapping[str, Normalization],
    labels: tuple[Port, list[str]] | None,
) -> bytes:
    """The model with metadata, which replace any that it has.

    Args:
        content: The bytes of a `.tflite`.
        name: Of the model.
        ports: Its inputs and outputs.
        normalizations: `{input name: Normalization}` where known.
        labels: The output that scores classes, and their names.
    """
    described = np.frombuffer(_model_metadata(name, ports, normalizations, labels), "uint8")
    file = FlatFile(content)
    model = file.model
    model.metadata = model.metadata or []
    entry = next((m for m in model.metadata if m.name == NAME.encode()), None)
    if entry is None:
        entry = file.schema.MetadataT()
        entry.name, entry.buffer = NAME, len(model.buffers)
        model.metadata.append(entry)
        model.buffers.append(file.schema.BufferT())
    model.buffers[entry.buffer].data = described
    found = file.with_all_tensors()
    return found if labels is None else _with_files(found, {LABELS_FILE: lines(labels[1])})


def lines(labels: Sequence[str]) -> str:
    """Labels as the text of a file."""
    return "".join(f"{label}\n" for label in labels)


def _with_files(content: bytes, files: Mapping[str, str]) -> bytes:
    """The model with files behind it, where a zip reader finds them."""
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            # Without a date of its own, each run would give other bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return whole.getvalue()


def _model_metadata(name, ports: Ports, normalizations, labels) -> bytes:
    builder = flatbuffers.Builder(1024)
    write = _Writer(builder)
    inputs = [_input(write, p, normalizations.get(p.name)) for p in ports.inputs]
    outputs = [_output(write, p, labels and p is labels[0]) for p in ports.outputs]
    graph = write.table({2: write.tables(inputs), 3: write.tables(outputs)})
    model = write.table(
        {
            0: write.text(name),
            1: write.text("Packaged by edgekit"),
            3: write.tables([graph]),
            7: write.text(_MIN_PARSER_VERSION),
        }
    )
    builder.Finish(model, _IDENTIFIER)
    return bytes(builder.Output())


def _input(write: "_Writer", port: Port, normalization: Normalization | None) -> int:
    units = None
    if normalization is not None:
        options = write.table(
            {0: write.floats(normalization.mean), 1: write.floats(normalization.std)}
        )
        units = write.tables(
            [write.table({1: options}, numbers={0: ("Uint8", _NORMALIZATION_OPTIONS)})]
        )
    return _tensor(write, port, _content(write, port, normalization), units, None)


def _output(write: "_Writer", port: Port, labelled: bool) -> int:
    files = None
    if labelled:
        file = {0: write.text(LABELS_FILE), 1: write.text("The classes, one a line")}
        files = write.tables([write.table(file, numbers={2: ("Int8", _TENSOR_AXIS_LABELS)})])
    return _tensor(write, port, _content(write, port, None), None, files)


def _content(write: "_Writer", port: Port, normalization: Normalization | None) -> int:
    """An image where a normalised input has the shape of one, else plain features."""
    if normalization is None or port.layout != "NHWC" or port.shape[-1] != 3:
        properties, kind = write.table({}), _FEATURE_PROPERTIES
    else:
        properties, kind = write.table({}, numbers={0: ("Int8", _RGB)}), _IMAGE_PROPERTIES
    return write.table({1: properties}, numbers={0: ("Uint8", kind)})


def _tensor(write: "_Writer", port: Port, content: int, units: int | None, files: int | None):
    stats = None
    if port.range is not None:
        low, high = port.range
        stats = write.table({0: write.floats([high]), 1: write.floats([low])})
    return write.table(
        {
            0: write.text(port.name),
            1: write.text(_description(port)),
            3: content,
            4: units,
            5: stats,
            6: files,
        }
    )


def _description(port: Port) -> str:
    shape = "×".join(map(str, port.shape))
    words = f"{port.dtype} {shape}".strip()
    if port.scale is not None:
        words += f", real value = {port.formula}"
    return words if port.layout is None else f"{words}, probably {port.layout}"


class _Writer:
    """Tables of a flatbuffer by their field ids."""

    def __init__(self, builder: flatbuffers.Builder):
        self.builder = builder

    def text(self, value: str) -> int:
        return self.builder.CreateString(value)

    def floats(self, values: Sequence[float]) -> int:
        return self.builder.CreateNumpyVector(np.asarray(values, "float32"))

    def tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def table(
        self,
        offsets: Mapping[int, int | None],
        numbers: Mapping[int, tuple[str, int]] | None = None,
    ) -> int:
        """A table of `{field id: offset}` and `{field id: (flatbuffers type, value)}`."""
        numbers = numbers or {}
        self.builder.StartObject(max([*offsets, *numbers], default=-1) + 1)
        for field, (kind, value) in numbers.items():
            getattr(self.builder, f"Prepend{kind}Slot")(field, value, 0)
        for field, offset in offsets.items():
            if offset is not None:
                self.builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        return self.builder.EndObject()
