import hashlib
import json
import re

import numpy as np
import pytest

from converters import Flatbuffer, package


def written(paths):
    return {path.name: path.read_bytes() for path in paths}


def test_the_folder(files, folder, tmp_path):
    (tmp_path / "names.txt").write_text("red\ngreen\r\nblue \nnone\n\n\n")
    out = tmp_path / "new" / "an app"
    paths = package(folder / "int8.tflite", "android", out, tmp_path / "names.txt", (0, [1, 1, 1]))
    found = written(paths)
    assert set(found) == {
        "int8.tflite", "labels.txt", "ModelRunner.kt", "contract.json", "CONTRACT.md",
    }  # fmt: skip
    assert found["labels.txt"] == b"red\ngreen\nblue\nnone\n"
    contract = json.loads(found["contract.json"])
    assert contract["model"]["sha256"] == hashlib.sha256(found["int8.tflite"]).hexdigest()
    assert contract["model"]["source_sha256"] == hashlib.sha256(files["int8"].content).hexdigest()
    (image,), (classes,) = contract["inputs"], contract["outputs"]
    assert (image["name"], image["shape"], image["dtype"]) == ("image", [1, 8, 8, 3], "int8")
    assert (image["layout"], image["layout_is_a_guess"]) == ("NHWC", True)
    assert image["normalization"]["std"] == [1, 1, 1]
    assert classes["labels"] == ["red", "green", "blue", "none"]
    assert {op["name"]: op["count"] for op in contract["ops"]}["CONV_2D"] == 2
    assert contract["sizes"]["apk_bytes"] == len(found["int8.tflite"])
    assert contract["unsupported"] == {"litert": [], "litert-gpu": []}
    words = found["CONTRACT.md"].decode()
    for text in ("1×8×8×3", f"{image['scale']:.9g}", "a guess from the shape", "noCompress"):
        assert text in words
    before = found
    assert (
        written(
            package(folder / "int8.tflite", "android", out, tmp_path / "names.txt", (0, [1, 1, 1]))
        )
        == before
    )


def test_the_runner_has_the_constants_of_the_file(files, tmp_path):
    package(files["int8"], "android", tmp_path, name="net")
    contract = json.loads((tmp_path / "contract.json").read_text())
    text = (tmp_path / "ModelRunner.kt").read_text()
    (image,), (classes,) = contract["inputs"], contract["outputs"]
    assert 'context.assets, "net.tflite"' in text
    scale, zero = re.search(r"quantize\(image, ([\d.e-]+)f, (-?\d+), -128, 127\)", text).groups()
    assert (np.float32(scale), int(zero)) == (np.float32(image["scale"]), image["zero_point"])
    scale, zero = re.search(r"readInt8\(\), ([\d.e-]+)f, (-?\d+)\)", text).groups()
    assert (np.float32(scale), int(zero)) == (np.float32(classes["scale"]), classes["zero_point"])
    assert "fun run(image: FloatArray): FloatArray" in text
    assert text.count("{") == text.count("}")
    assert "$" not in text


def test_float_edges_need_no_quantising(files, tmp_path):
    package(files["float32"], "android", tmp_path)
    text = (tmp_path / "ModelRunner.kt").read_text()
    assert "inputs[0].writeFloat(image)" in text
    assert "return outputs[0].readFloat()" in text
    assert "quantize" not in text
    assert (tmp_path / "labels.txt").read_text() == "class_0\nclass_1\nclass_2\nclass_3\n"
    assert "as in training: not known to the file" in (tmp_path / "CONTRACT.md").read_text()


def test_several_edges_in_the_order_of_the_graph(two_inputs, tmp_path):
    package(two_inputs, "android", tmp_path, normalization={"b": (1, 2)})
    text = (tmp_path / "ModelRunner.kt").read_text()
    assert "fun run(b: FloatArray, a: FloatArray): Outputs" in text
    assert "inputs[0].writeInt8(quantize(b," in text
    assert "inputs[1].writeInt8(quantize(a," in text
    assert "class Outputs(val output_1: FloatArray, val output_0: FloatArray)" in text
    inputs = json.loads((tmp_path / "contract.json").read_text())["inputs"]
    assert [p["normalization"]["mean"] for p in inputs] == [[1.0], None]


def test_edges_without_a_method_leave_the_runner_out(wide_edges, tmp_path):
    names = written(package(wide_edges, "android", tmp_path))
    assert "ModelRunner.kt" not in names
    assert b"no methods for int16" in names["CONTRACT.md"]
    contract = json.loads(names["contract.json"])
    assert {op["reason"] for op in contract["unsupported"]["litert-gpu"]} == {"int16 activations"}
    assert b"CONV_2D: int16 activations" in names["CONTRACT.md"]


def test_other_files_in_the_folder_stay(files, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    package(files["int8"], "android", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert Flatbuffer.from_file(tmp_path / "model.tflite").size > files["int8"].size


def bad(folder, tmp_path):
    path = folder / "int8.tflite"
    (tmp_path / "gap.txt").write_text("a\n\nb\nc\n")
    (tmp_path / "none.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes("é\nb\nc\nd".encode("latin-1"))
    return [
        ((path, "ios", tmp_path), {}, "`target` must be one of"),
        ((path, "android", tmp_path), {"labels": ["a"]}, "Received: 1 labels; .*'output_0' 4"),
        ((path, "android", tmp_path), {"labels": tmp_path / "gap.txt"}, "line 2 is blank"),
        ((path, "android", tmp_path), {"labels": tmp_path / "none.txt"}, "holds no labels"),
        ((path, "android", tmp_path), {"labels": tmp_path / "latin.txt"}, "in UTF-8"),
        ((path, "android", tmp_path), {"normalization": (1, 0)}, "`std` must be above 0"),
        ((path, "android", tmp_path), {"normalization": ([1, 2], 1)}, "each of the 3 channels"),
        ((path, "android", tmp_path), {"normalization": (1e39, 1)}, "`mean` must be between"),
        ((path, "android", tmp_path), {"normalization": (1e-46, 1)}, "`mean` must be between"),
        ((path, "android", tmp_path), {"normalization": (0, 1e-46)}, "`std` must be between"),
        (
            (path, "android", tmp_path),
            {"normalization": (0, [1, 1e39, 1])},
            "`std` must be between",
        ),
        ((path, "android", tmp_path), {"labels": ["a", "b\u2028c", "d", "e"]}, "a line break"),
        ((path, "android", tmp_path), {"labels": ["a", "\ud800", "d", "e"]}, "in UTF-8"),
        ((path, "android", tmp_path), {"normalization": {"x": (1, 1)}}, r"names \['x'\]"),
        ((path, "android", tmp_path), {"normalization": 3}, r"must be \(mean, std\)"),
        ((path, "android", tmp_path), {"sample": "x.npy"}, "`sample` is for"),
        ((path, "android", tmp_path), {"name": "a b"}, "`name` must be an identifier"),
        ((path, "android", folder), {}, "holds the model itself"),
        ((folder / "corrupt.tflite", "android", tmp_path), {}, "corrupt.tflite: damaged"),
    ]


def test_bad_arguments_are_one_sentence_and_write_nothing(folder, tmp_path):
    cases = bad(folder, tmp_path)
    before = {p: p.read_bytes() for p in (*tmp_path.iterdir(), *folder.iterdir())}
    for arguments, options, sentence in cases:
        with pytest.raises(ValueError, match=sentence):
            package(*arguments, **options)
    with pytest.raises(NotADirectoryError, match="gap.txt is a file: name a folder"):
        package(cases[0][0][0], "android", tmp_path / "gap.txt")
    assert {p: p.read_bytes() for p in (*tmp_path.iterdir(), *folder.iterdir())} == before


def test_one_normalisation_for_two_inputs_is_refused(two_inputs, tmp_path):
    with pytest.raises(ValueError, match="2 inputs of real values"):
        package(two_inputs, "android", tmp_path, normalization=(1, 2))
