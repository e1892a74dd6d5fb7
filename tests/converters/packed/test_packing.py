import io
import lzma
import re
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters import Flatbuffer
from converters.packed import pack, unpack
from converters.packed.container import Kind, PackedFileError, read_header
from converters.packed.unpacking import unpacked_bytes
from tests.converters.packaging.handmade import Tensor, flatbuffer


@pytest.fixture(scope="module")
def packed(files):
    return {name: pack(file) for name, file in files.items()}


@pytest.mark.parametrize("name", ["float32", "float16", "int8", "qat"])
def test_it_unpacks_to_the_same_bytes_and_is_smaller_than_xz(files, packed, name):
    content = files[name].content
    for given in (packed[name], packed[name].content):
        assert unpack(given).content == content
    assert packed[name].size < len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


@pytest.mark.parametrize("coder", ["smallest", "huffman"])
@pytest.mark.parametrize("memory", [40_000, 2**22])
def test_every_setting_gives_the_bytes_back(files, coder, memory):
    packed = pack(files["int8"], coder, memory)
    assert packed.decoder_memory <= memory
    assert unpack(packed.content).content == files["int8"].content
    kinds = {segment.kind for segment in read_header(packed.content)[0].segments}
    slow = {Kind.BYTES, Kind.SYMBOLS}
    assert bool(kinds & slow) == (coder == "smallest")


def test_the_same_file_packs_to_the_same_bytes(files, packed):
    assert pack(files["int8"]).content == packed["int8"].content


def test_files_on_disk(files, tmp_path):
    path = files["float32"].save(tmp_path / "model.tflite")
    saved = pack(path).save(tmp_path / "model.ekz")
    assert unpack(saved).content == files["float32"].content
    with pytest.raises(FileNotFoundError, match="no such file"):
        unpack(tmp_path / "nothing.ekz")
    (tmp_path / "cut.ekz").write_bytes(saved.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"cut\.ekz: the \.ekz file is cut"):
        unpack(tmp_path / "cut.ekz")


def test_progress_rises_and_ends_with_all(files):
    seen: list[tuple[int, int]] = []
    packed = pack(files["float32"], on_progress=lambda *told: seen.append(told))
    unpacking = len(seen)
    unpack(packed.content, on_progress=lambda *told: seen.append(told))
    for told in (seen[:unpacking], seen[unpacking:]):
        done, expected = zip(*told, strict=True)
        assert list(done) == sorted(done)
        assert len(set(expected)) == 1
        assert done[0] == 0
        assert done[-2] < done[-1] == expected[0]


def test_the_report_adds_up(files, packed):
    found = packed["int8"].to_dict()
    parts = sum(c["packed_bytes"] for c in found["constants"])
    assert parts + found["rest"]["packed_bytes"] + found["header_bytes"] == found["packed_bytes"]
    assert sum(c["bytes"] for c in found["constants"]) + found["rest"]["bytes"] == found["bytes"]
    assert set(found["rivals"]) == {"gzip -9", "xz -9e", "zstd -19"}
    from rich.console import Console

    console = Console(width=200, record=True, file=io.StringIO())
    console.print(packed["int8"].table())
    text = console.export_text()
    assert re.search(rf"whole file +{files['int8'].size:,} +{packed['int8'].size:,}", text)
    assert "zstd -19" in text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"coder": "zip"}, ValueError, "smallest, huffman. Received: coder='zip'"),
        ({"memory": 1000}, ValueError, "`memory` must be at least"),
        ({"memory": "much"}, TypeError, "memory='much'"),
        ({"model": None}, TypeError, "convert a Keras model first"),
    ],
)
def test_bad_arguments(files, arguments, error, message):
    with pytest.raises(error, match=message):
        pack(**{"model": files["float32"], **arguments})


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 100)
    with pytest.raises(ValueError, match="damaged LiteRT flatbuffer"):
        pack(tmp_path / "x.tflite")


def test_every_cut_is_refused_with_a_reason(packed):
    content = packed["int8"].content
    for size in range(0, len(content), 7):
        with pytest.raises(PackedFileError, match=r"\.ekz"):
            unpacked_bytes(content[:size])
    with pytest.raises(PackedFileError, match="added to"):
        unpacked_bytes(content + b"\0")


def test_every_changed_byte_is_refused(packed):
    content = packed["int8"].content
    for place in range(0, len(content), 11):
        damaged = bytearray(content)
        damaged[place] ^= 1 + place % 255
        with pytest.raises(PackedFileError, match=r"\.ekz"):
            unpacked_bytes(bytes(damaged))


def test_a_version_to_come_is_named(packed):
    content = bytearray(packed["int8"].content)
    content[3] = 9
    with pytest.raises(
        PackedFileError, match="version 9, this edgekit reads versions 1 and 2: update"
    ):
        unpacked_bytes(bytes(content))


def test_scales_that_are_multiples_are_left_out(files, packed):
    """Of a kernel with a scale per channel, the bias has that times the input's."""
    segments = read_header(packed["qat"].content)[0].segments
    made = [s for s in segments if s.kind == Kind.SCALED]
    assert made
    content = files["qat"].content
    for segment in made:
        goal, source = (
            np.frombuffer(content, "<f4", segment.count, start)
            for start in (segment.start, segment.source)
        )
        np.testing.assert_array_equal(source * np.frombuffer(segment.factor, "<f4"), goal)


def test_a_pruned_clustered_model_takes_what_it_holds(trained):
    import edgekit as ek

    model = ek.strip(trained)
    kernel = model.get_layer("pointwise").kernel
    chance = np.random.default_rng(0)
    kernel.assign(chance.choice([0, 0, 0, 0.5, -0.25], kernel.shape))
    found = pack(ek.convert(model)["float32"])
    (constant,) = [c for c in found.constants if c.distinct == 3]
    assert constant.bits_per_weight < 5
    assert constant.bytes == 4 * 64


def program_of_a_custom_op(blob: np.ndarray) -> Flatbuffer:
    """As Edge TPU's compiler writes models: one op, whose options hold weights and code."""
    tensors = [Tensor("x", (1, 8), "uint8"), Tensor("y", (1, 8), "uint8")]
    file = flatbuffer(tensors, [("edgetpu-custom-op", [0], [1], None)], [0], [1])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.content, 0))
    model.subgraphs[0].operators[0].customOptions = blob
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return Flatbuffer(bytes(builder.Output()))


def blobs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, 40_000, dtype="u1")
    tiles = np.concatenate(
        [np.append(noise[i : i + 64], np.zeros(64, "u1")) for i in range(0, 20_000, 64)]
    )
    code = rng.integers(0, 256, (400, 12), dtype="u1")[rng.integers(0, 400, 4000)]
    return {
        "noise": noise,
        "twice, far apart": np.concatenate([noise, rng.integers(0, 9, 70_000, dtype="u1"), noise]),
        "tiles": tiles,
        "code": code.ravel(),
        "weights": np.clip(rng.normal(0, 20, 40_000), -128, 127).astype("i1").view("u1"),
        "text": np.frombuffer(b"".join(b"class %d of many\n" % i for i in range(4000)), "u1"),
    }  # fmt: skip


@pytest.mark.parametrize("what", ["noise", "twice, far apart", "tiles", "code", "weights", "text"])
@pytest.mark.parametrize("memory", [2**16, 2**22])
def test_bytes_of_no_tensor_are_never_larger_than_by_xz(what, memory):
    file = program_of_a_custom_op(blobs()[what])
    packed = pack(file, memory=memory)
    assert packed.size <= packed.rivals["xz -9e"]
    assert unpack(packed.content).content == file.content


def test_a_zip_behind_the_model_is_packed_by_itself(files):
    whole = io.BytesIO(files["int8"].content)
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("labels.txt", blobs()["text"].tobytes())
    packed = pack(Flatbuffer(whole.getvalue()))
    (behind,) = [c for c in packed.constants if c.name == "(files behind the model)"]
    assert behind.coder == "lzma"
    assert packed.size < packed.rivals["xz -9e"]
    assert unpack(packed.content).content == whole.getvalue()


def test_files_without_lzma_are_of_the_first_version(packed):
    """Which decoders in the field read."""
    for found in packed.values():
        header, _ = read_header(found.content)
        kinds = {header.skeleton_kind, *(segment.kind for segment in header.segments)}
        assert found.content[3] == (2 if Kind.LZMA in kinds else 1)
