"""The floors of the design: who may import whom, read from the code's own imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TECHNIQUES = ("clustering", "distillation", "posttraining", "pruning", "quantization")
# device_bench knows .tflite files and how to run a child process, but nothing of Keras, whose
# models others make flatbuffers of.
BENCH_MAY_IMPORT = {
    "converters.array_files",
    "converters.as_flatbuffer",
    "converters.checks",
    "converters.executions",
    "converters.feeding",
    "converters.flatbuffer_tables",
    "converters.kernel_dtypes",
    "converters.loaded_signature",
    "converters.macs",
    "converters.model_info",
    "converters.packaging.arena",
    "converters.packaging.ports",
    "converters.targets",
    "converters.flatbuffer",
    "converters.reader",
    "converters.runner",
    "converters.samples",
    "converters.temporary",
    "converters.files",
    "converters.child",
    "converters.signal_to_noise",
    "converters.messages",
    "converters.one_line",
}


def imports_of(folder: str) -> list[tuple[str, str]]:
    """`(file, imported module)` for every import below `folder`, nested ones too."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found += [(str(path), alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                found.append((str(path), node.module))
    return found


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_the_walk_sees_imports():
    assert ("converters.reader" in {m for _, m in imports_of("converters")}) is True


def test_converters_are_ground():
    for file, module in imports_of("converters"):
        assert not inside(module, "edgekit"), file
        assert not inside(module, "device_bench"), file


def test_device_bench_knows_only_flatbuffers():
    for file, module in imports_of("device_bench"):
        assert not inside(module, "edgekit"), file
        assert not inside(module, "keras"), file
        assert not inside(module, "tensorflow"), file
        if inside(module, "converters"):
            assert module in BENCH_MAY_IMPORT, f"{file} imports {module}"


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_techniques_know_keras_and_core_only(technique):
    for file, module in imports_of(f"edgekit/{technique}"):
        assert not inside(module, "converters"), file
        assert not inside(module, "device_bench"), file
        if inside(module, "edgekit"):
            assert inside(module, "edgekit.core") or inside(module, f"edgekit.{technique}"), (
                f"{file} imports {module}"
            )


def test_core_knows_keras_only():
    for file, module in imports_of("edgekit/core"):
        if inside(module, "edgekit"):
            assert inside(module, "edgekit.core"), file
        assert not inside(module, "converters"), file


def test_every_package_of_edgekit_has_a_floor():
    packages = {p.parent.name for p in (ROOT / "edgekit").glob("*/__init__.py")}
    assert packages == {"core", "cli", "pipeline", "tfmot", *TECHNIQUES}


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["edgekit", "converters", "device_bench"])
def test_importing_loads_nothing_heavy(package):
    heavy = {"tensorflow", "keras", "ai_edge_litert", "tensorflow_model_optimization", "tf_keras"}
    assert not heavy & loaded_after(f"import {package}")


def test_techniques_load_no_converter():
    loaded = loaded_after("import edgekit as ek; ek.quantize_aware; ek.GradualPruning")
    assert "keras" in loaded
    assert not {"converters.conversion", "ai_edge_litert", "tensorflow_model_optimization"} & loaded


def test_inspecting_and_benchmarking_load_no_tensorflow():
    loaded = loaded_after("import edgekit as ek; ek.inspect; ek.benchmark")
    assert not {"tensorflow", "keras"} & loaded


def test_every_public_name_resolves_and_is_documented():
    import edgekit as ek

    for name in ek.__all__:
        assert getattr(ek, name).__doc__, name
        assert name in dir(ek)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ek.nothing  # noqa: B018
