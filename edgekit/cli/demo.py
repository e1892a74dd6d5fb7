"""`edgekit demo`."""

import sys

import click

from edgekit.cli import options
from edgekit.cli.command import CHECK_FAILED, EdgekitCommand
from edgekit.cli.paths import WriteFolder


@click.command(cls=EdgekitCommand)
@click.option(
    "-o",
    "--out",
    default="demo",
    type=WriteFolder(lambda given: ["report.html", "report.json", "*.keras", "*.tflite"]),
    show_default=True,
    help="Folder for the report and the files.",
)
@options.seed("On one machine the same seed gives the same accuracies and bytes.")
@click.option("--quick", is_flag=True, help="Fewer images and measurements: half a minute.")
@click.pass_context
def demo(ctx: click.Context, out: str, seed: int, quick: bool) -> None:
    """Train, compress, convert and measure a real model.

    Handwritten digits, a depthwise-separable CNN; about two minutes on two cores.

    \b
    Example:
      edgekit demo --out demo --seed 0
    """
    from rich.console import Console

    from converters.progress import Stages
    from edgekit.cli.quiet import quiet_start_up

    with quiet_start_up():
        from edgekit.pipeline.demo import FULL, QUICK, run_demo

    stages = Stages(log=sys.stdout, transient=False)
    result = run_demo(out, seed, stages, QUICK if quick else FULL)
    console = Console()
    console.print(result.comparison.table())
    console.print(result.comparison.benchmark.table())
    for check in result.checks:
        console.print(str(check), style="green" if check.passed else "bold red", highlight=False)
    console.print(f"{result.out / 'report.html'}", highlight=False)
    if not result.passed:
        ctx.exit(CHECK_FAILED)
