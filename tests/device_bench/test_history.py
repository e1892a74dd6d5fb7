import pytest

from device_bench.history import add_to_history, comparable, read_history
from tests.device_bench.made_results import result, row, spread


def test_benchmarks_line_up(tmp_path):
    path = tmp_path / "history.jsonl"
    for center in (4.0, 3.0):
        add_to_history(result(row("m", spread(center)), row("f", [], error="crashed")), path)
    first, second = read_history(path)
    assert first["measurements"][0]["median_ms"] > second["measurements"][0]["median_ms"]
    assert first["measurements"][1]["error"] == "crashed"
    assert first["host"]["ai-edge-litert"] == "2.3.0"
    assert "raw" not in first["measurements"][0]


def test_only_like_is_drawn_beside_like(tmp_path):
    path = tmp_path / "history.jsonl"
    for processor in ("old", "new", "new"):
        found = result(row("m", spread(4.0)))
        found.host["processor"] = processor
        add_to_history(found, path)
        path.write_text(path.read_text() + "\n")  # blank lines are no harm
    history = read_history(path)
    assert len(history) == 3
    assert comparable(history) == history[1:]


@pytest.mark.parametrize("text", ["nothing\n", "{}\n", '{"time": 1}\n', "[1]\n"])
def test_other_files_stay_what_they_are(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match="notes.txt is no history: line 1"):
        add_to_history(result(row("m", spread(4.0))), path)
    assert path.read_text() == text
