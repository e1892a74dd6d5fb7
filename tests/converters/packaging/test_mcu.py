"""The folder for firmware, compiled and run."""

import json
import re
import subprocess

import numpy as np
import pytest

from converters import package
from tests.converters.packaging.handmade import Tensor, flatbuffer

C = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
CC = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


def run_golden_test(folder):
    program = folder / "golden_test"
    parts = ["golden_test.c", "-x", "c", "model_data.cc", "-lm", "-o", program]
    subprocess.run([*C, *parts], cwd=folder, check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    program.unlink()
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def int8_folder(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("mcu") / "my firmware"
    package(folder / "int8.tflite", "mcu", out, ["a", 'b"', "c\\", "?"], sample=folder / "x.npy")
    return out


def test_the_golden_test_passes(int8_folder):
    code, said = run_golden_test(int8_folder)
    assert code == 0, said
    assert len(said.splitlines()) == 7
    assert all(line.startswith("ok: ") for line in said.splitlines())


@pytest.mark.parametrize("case", ["two_inputs", "wide_edges", "recurrent", "float32"])
def test_it_passes_for_other_models(case, request, files, tmp_path):
    model = files[case] if case in files else request.getfixturevalue(case)
    package(model, "mcu", tmp_path)
    code, said = run_golden_test(tmp_path)
    assert code == 0, said


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "line"),
    [
        ("model_data.cc", r"0x54, 0x46", "0x54, 0x47", "the model has its checksum"),
        ("model_data.cc", r"len = (\d+)", r"len = \1 - 1", "the model has its size"),
        ("model_settings.h", r"kInputZeroPoint = -\d+", "kInputZeroPoint = 5", "quantized"),
        ("model_settings.h", r"kOutputScale = .*f;", "kOutputScale = 0.5f;", "dequantized"),
    ],
)  # fmt: skip
def test_it_can_fail(int8_folder, tmp_path, file, pattern, replacement, line):
    for path in int8_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / file).read_text()
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    (tmp_path / file).write_text(changed)
    code, said = run_golden_test(tmp_path)
    assert code == 1
    assert re.search(f"^FAILED: .*{line}", said, re.M), said


def test_the_array_is_the_model(int8_folder, files):
    text = (int8_folder / "model_data.cc").read_text()
    found = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", text))
    assert found == files["int8"].content
    assert "g_int8[]" in text
    assert f"g_int8_len = {files['int8'].size};" in text
    subprocess.run([*CC, "model_data.cc"], cwd=int8_folder, check=True)


# What TensorFlow Lite Micro's headers declare, as far as the folder's code needs it.
STUB = """
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk };
#define TFLITE_SCHEMA_VERSION 3
#define TF_LITE_ENSURE_STATUS(a) if ((a) != kTfLiteOk) return (a)
void MicroPrintf(const char*, ...);
struct TfLiteTensor { union { void* raw; } data; };
namespace tflite {
struct Model { uint32_t version() const; };
const Model* GetModel(const void*);
void InitializeTarget();
template <unsigned int n> struct MicroMutableOpResolver { METHODS };
struct MicroInterpreter {
  template <class R> MicroInterpreter(const Model*, const R&, uint8_t*, size_t);
  TfLiteStatus AllocateTensors(); TfLiteStatus Invoke(); size_t arena_used_bytes() const;
  TfLiteTensor* input(size_t);
  template <class T> T* typed_output_tensor(int);
};
}
"""


@pytest.mark.parametrize("case", ["int8", "two_inputs"])
def test_the_example_is_good_cpp(case, files, request, tmp_path):
    package(files["int8"] if case == "int8" else request.getfixturevalue(case), "mcu", tmp_path)
    resolver = (tmp_path / "op_resolver.h").read_text()
    methods = set(re.findall(r"resolver\.(\w+)\(\)", resolver))
    assert "AddFullyConnected" in methods
    assert f"MicroMutableOpResolver<{len(methods)}>" in resolver
    stub = STUB.replace("METHODS", " ".join(f"TfLiteStatus {m}();" for m in sorted(methods)))
    texts = [resolver, (tmp_path / "main_example.cc").read_text()]
    for header in set(re.findall(r'"(tensorflow/[\w/]+\.h)"', "".join(texts))):
        path = tmp_path / "stub" / header
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#pragma once\n#include "{tmp_path}/stub/all.h"\n')
    (tmp_path / "stub" / "all.h").write_text(stub)
    subprocess.run([*CC, "-Istub", "main_example.cc"], cwd=tmp_path, check=True)


def test_the_golden_output_is_what_litert_says(int8_folder, files, folder):
    contract = json.loads((int8_folder / "contract.json").read_text())
    against = contract["golden"]["against_litert"]["output_0"]
    assert against["steps"] <= 1
    text = (int8_folder / "golden.h").read_text()
    body = re.search(r"kGoldenOutputReal\[4\] = \{\n(.*?)\n\};", text, re.S)[1]
    found = np.array([float(v.strip().rstrip("f")) for v in body.split(",") if v.strip()])
    expected = files["int8"].predict(np.load(folder / "x.npy")[:1], "reference")
    np.testing.assert_allclose(found, expected[0], atol=1.01 / 256)
    assert np.abs(found - expected[0]).max() == pytest.approx(against["largest_difference"])


def test_memory_is_in_the_contract_and_the_settings(int8_folder):
    contract = json.loads((int8_folder / "contract.json").read_text())
    arena = contract["arena"]
    assert arena["total"] == arena["head"] + arena["tail"]
    assert arena["total"] <= arena["least"] + 16
    assert arena["recommended"] >= arena["least"] * 1.2
    settings = (int8_folder / "model_settings.h").read_text()
    assert f"enum {{ int8_kTensorArenaSize = {arena['recommended']} }};" in settings
    assert "kInputShape[4] = {1, 8, 8, 3};" in settings
    assert "x86-64 reference kernels" in settings
    assert contract["runtime"]["tflite_micro"]
    words = (int8_folder / "CONTRACT.md").read_text()
    assert f"| {arena['recommended']:,} |" in words


def test_a_second_run_gives_the_same_bytes(folder, tmp_path):
    def contents():
        paths = package(folder / "int8.tflite", "mcu", tmp_path)
        return {p.name: p.read_bytes() for p in paths}

    first = contents()
    assert set(first) == {
        "model_data.h", "model_data.cc", "model_settings.h", "op_resolver.h", "golden.h",
        "golden_test.c", "main_example.cc", "contract.json", "CONTRACT.md",
    }  # fmt: skip
    assert contents() == first


def test_a_name_of_its_own(files, tmp_path):
    package(files["int8"], "mcu", tmp_path, name="wake_word")
    assert "g_wake_word[]" in (tmp_path / "model_data.h").read_text()
    assert "#ifndef EDGEKIT_wake_word_" in (tmp_path / "golden.h").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sample": np.zeros((1, 9, 8, 3))}, "`sample` for input 'image' must have shape"),
        ({"sample": np.full((1, 8, 8, 3), np.nan)}, "NaN"),
        ({"name": "9"}, "`name` must be an identifier"),
    ],
)
def test_bad_arguments(files, tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        package(files["int8"], "mcu", tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_it_cannot_run_writes_nothing(files, tmp_path):
    with pytest.raises(ValueError, match="TensorFlow Lite Micro cannot run this model"):
        package(files["float16"], "mcu", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_vela_compiled_is_refused_with_the_way_out(tmp_path):
    edges = [Tensor(name, (1, 4), "int8", (0.1,)) for name in ("x", "y")]
    program = Tensor("program", (16,), "uint8", data=np.zeros(16, "uint8"))
    compiled = flatbuffer([*edges, program], [("ethos-u", [2, 0], [1], None)], [0], [1])
    path = compiled.save(tmp_path / "net_vela.tflite")
    with pytest.raises(
        ValueError, match=r"runs on that processor alone.* Package the \.tflite that"
    ):
        package(path, "mcu", tmp_path / "firmware")
    assert not (tmp_path / "firmware").exists()
