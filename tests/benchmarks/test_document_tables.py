"""The tables of README and guides are those that the result files make."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/benchmarking.md",
        "docs/coming_from_tfmot.md",
        "docs/distillation.md",
    ],
)
def test_its_tables_are_made_from_the_json(document, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as for a script
    path = ROOT / "benchmarks" / "document_tables.py"
    spec = importlib.util.spec_from_file_location("document_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert document in module.TABLES
    assert module.with_tables(document) == (ROOT / document).read_text()
