import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench import profile
from device_bench.history import add_to_history
from device_bench.plots import pareto
from device_bench.report import write_report
from tests.device_bench.made_results import result, row, spread


@pytest.fixture
def found():
    return result(
        row("float <32>", spread(4.0)),
        row("int8", spread(2.0), accuracy=0.88, file_bytes=30_000),
        row("broken", [], error="the process crashed with SIGSEGV"),
    )


def test_the_report_needs_nothing_else(found, tmp_path):
    history = tmp_path / "history.jsonl"
    for _ in range(2):
        add_to_history(found, history)
    path = write_report(found, tmp_path / "report.html", history=history, baseline=found)
    text = path.read_text()
    assert "float &lt;32&gt;" in text
    assert "crashed with SIGSEGV" in text
    assert "0.50 (0.49–0.50), faster" in text or "0.50 (0.50–0.50), faster" in text
    assert "<script" not in text
    assert 'src="http' not in text
    plots = [part[: part.index("</svg>") + 6] for part in text.split("<svg")[1:]]
    assert len(plots) == 5
    for plot in plots:
        ElementTree.fromstring("<svg" + plot)
    again = write_report(found, tmp_path / "again.html", history=history, baseline=found)
    assert again.read_text() == text


def test_profiles_are_drawn(found, files, tmp_path):
    profiles = {"int8": profile(files["int8"], kernels="builtin")}
    text = write_report(found, tmp_path / "report.html", profiles=profiles).read_text()
    assert "Time by kernel: int8" in text
    plot = text[text.index("Time by kernel") :]
    assert "CONV_2D" in plot
    assert "residual" in plot


def test_a_report_of_failures_only(tmp_path):
    lost = result(row("broken", [], error="it hangs"))
    assert "it hangs" in write_report(lost, tmp_path / "report.html").read_text()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9))
def test_none_of_the_best_is_beaten(points):
    best = pareto(points)
    for place, (x, y) in enumerate(points):
        beaten = any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)
        assert not (place in best and beaten)
        assert beaten or (x, y) in [points[i] for i in best]
