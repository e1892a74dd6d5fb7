import xml.etree.ElementTree as ElementTree
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench import profile
from device_bench.drawing import name_points, new_axes
from device_bench.history import add_to_history
from device_bench.names import shown_name
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


NAMES = [
    "$x",
    "cost $5 of $6",
    r"\frac{a} $\frac$",
    "a_b^2",
    "<b>&amp;",
    "a\nb",
    "模型 ñ",
    "[red]",
    "n" * 300,
]


def test_any_name_can_be_drawn_and_told(tmp_path):
    found = result(*[row(name, spread(4.0 + n)) for n, name in enumerate(NAMES)])
    history = tmp_path / "history.jsonl"
    for _ in range(2):
        add_to_history(found, history)
    text = write_report(found, tmp_path / "report.html", history=history).read_text()
    plots = [part[: part.index("</svg>") + 6] for part in text.split("<svg")[1:]]
    drawn = [
        {"".join(e.itertext()) for e in ElementTree.fromstring("<svg" + plot).iter()}
        for plot in plots
    ]
    for name in NAMES:
        shown = shown_name(name)
        assert "\n" not in shown
        assert all(shown in told for told in drawn), name
    assert f"<td>{escape(NAMES[4])}</td>" in text
    table = str(found)
    assert "[red]" in table
    assert "$x" in table


def test_plots_are_told_to_who_does_not_see_them(found, tmp_path):
    text = write_report(found, tmp_path / "report.html").read_text()
    assert text.count("<svg") == text.count('<svg role="img" aria-label="')
    assert "Median time of one run with its 95 % interval: float &lt;32&gt; 3.996 ms" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_names_of_points_do_not_lie_on_each_other():
    figure, axes = new_axes(3.6)
    points = [(1, 90.0), (1, 90.0), (1, 90.01), (2, 99.0), (2, 99.0)]
    axes.plot(*zip(*points, strict=True), "o")
    name_points(axes, points, list("abcde"))
    figure.canvas.draw()
    height = axes.get_window_extent().height
    places = sorted(text.xyann[1] * height for text in axes.texts)
    letters = axes.texts[0].get_fontsize() * figure.dpi / 72
    assert min(b - a for a, b in zip(places, places[1:], strict=False)) > letters
    assert 0 <= places[0] <= places[-1] <= height
    assert all(text.xyann[0] > 1 for text in axes.texts)  # beside the axes


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
