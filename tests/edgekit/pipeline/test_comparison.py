import io
import re

import numpy as np
import pytest
from rich.console import Console

from device_bench import benchmark
from edgekit.pipeline.checks import Check
from edgekit.pipeline.comparison import COLUMNS, Comparison, wilson_interval
from edgekit.pipeline.report import render_report


@pytest.fixture(scope="module")
def comparison(files, data):
    models = {"float32": files["float32"], "qat": files["qat"]}
    found = Comparison(models, *data)
    found.benchmark = benchmark(models, processes=2, seconds=0.05)
    return found


def test_accuracy_and_agreement_are_measured(comparison, files, data):
    x, y = data
    row = comparison["qat"]
    predictions = files["qat"].predict(x).argmax(1)
    assert row.accuracy == np.mean(predictions == y) > 0.8
    assert row.agreement == np.mean(predictions == files["float32"].predict(x).argmax(1))
    assert comparison["float32"].agreement == 1
    assert len(comparison.cells(row)) == len(COLUMNS)
    assert comparison.to_dict()[1]["accuracy"] == row.accuracy


def test_no_figure_loses_its_end_in_a_terminal_of_80_columns(files, data):
    models = {name * 6: files[name] for name in ("float32", "int8")}
    found = Comparison(models, *data)
    found.benchmark = benchmark(models, processes=2, seconds=0.05)
    for table in (found.table(), found.benchmark.table()):
        printed = io.StringIO()
        Console(file=printed, width=80).print(table)
        assert "…" not in printed.getvalue()


def test_wilson_interval():
    assert wilson_interval(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson_interval(1.0, 10)[1] == pytest.approx(1.0)


def test_checks():
    assert Check("a", 0.98, 0.97).passed
    assert not Check("a", 0.96, 0.97).passed
    assert Check("a", 0.3, 0.35, at_least=False).passed
    assert str(Check("a", 0.36, 0.35, at_least=False)) == "FAILED a: 36.00% (≤ 35.00%)"


def test_report_needs_nothing_else(comparison):
    html = render_report(comparison, [Check("<promise>", 1, 0.5)], seed=7)
    assert html.count("<svg") == html.count('<svg role="img" aria-label="') == 4
    assert "too few processes" in html  # verdicts and cautions are those of the benchmark's report
    assert "95 % interval" in html
    assert re.search(r"<td>0\.\d{1,6}</td>|<td>0\.0\d{1,9}</td>", html)  # scales to six digits
    assert not re.search(r"\d\.\d{12}", re.sub("<svg.*?</svg>", "", html, flags=re.DOTALL))
    assert "CONV_2D · int8" in html
    assert "&lt;promise&gt;" in html
    assert "<script" not in html
    links = re.findall(r"(?:src|href)=\"([^\"#][^\"]*)\"", html)
    assert links == [], links
    assert html == render_report(comparison, [Check("<promise>", 1, 0.5)], seed=7)
