"""The report of a compression: one HTML file that needs nothing else."""

from importlib.resources import files

from device_bench import plots as timing_plots
from device_bench import report
from edgekit.pipeline import plots
from edgekit.pipeline.checks import Check
from edgekit.pipeline.comparison import COLUMNS, Comparison


def render_report(comparison: Comparison, checks: list[Check], seed: int) -> str:
    """The comparison as a self-contained HTML page.

    Args:
        comparison: With its benchmark set; the last row is the file the report is about.
        checks: What was promised.
        seed: Of the run.
    """
    page = files("edgekit.pipeline").joinpath("report.html.jinja").read_text(encoding="utf-8")
    final, benchmark = comparison.rows[-1], comparison.benchmark
    drawn = {
        "Accuracy against size": plots.accuracy_against_size(comparison),
        "Time on this host": timing_plots.latency(benchmark),
        "Memory on this host": timing_plots.memory(benchmark),
        f"Sparsity by weight tensor of {final.name}": plots.sparsity_by_layer(final),
    }
    return report.render(
        page,
        comparison=comparison,
        columns=COLUMNS,
        final=final,
        first=comparison.rows[0],
        checks=checks,
        seed=seed,
        benchmark=benchmark,
        plots=drawn,
    )
