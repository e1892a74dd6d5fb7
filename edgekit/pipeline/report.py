"""The report: one HTML file that needs nothing else.

Raises:
    ImportError: The extra `report` is not installed; said on import, before any long work.
"""

from importlib.resources import files

from edgekit.pipeline.checks import Check
from edgekit.pipeline.comparison import COLUMNS, Comparison

try:
    import jinja2

    from edgekit.pipeline import plots
except ImportError as error:
    raise ImportError(
        f"the report needs {error.name}: pip install 'edgekit-keras[report]'"
    ) from None


def render_report(comparison: Comparison, checks: list[Check], seed: int) -> str:
    """The comparison as a self-contained HTML page.

    Args:
        comparison: With its benchmark set; the last row is the file the report is about.
        checks: What was promised.
        seed: Of the run.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(
        files("edgekit.pipeline").joinpath("report.html.jinja").read_text()
    )
    final = comparison.rows[-1]
    return template.render(
        comparison=comparison,
        columns=COLUMNS,
        final=final,
        first=comparison.rows[0],
        checks=checks,
        seed=seed,
        host=comparison.benchmark.host,
        settings=comparison.benchmark.settings,
        plots={
            "size": plots.accuracy_against_size(comparison),
            "latency": plots.latency(comparison),
            "sparsity": plots.sparsity_by_layer(final),
        },
    )
