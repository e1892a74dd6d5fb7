"""`edgekit demo`."""

import click


@click.command()
@click.option(
    "--out", default="demo", show_default=True, help="Folder for the report and the files."
)
@click.option(
    "--seed",
    default=0,
    type=click.IntRange(0, 2**32 - 1),
    show_default=True,
    help="Same seed, same accuracies and bytes.",
)
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

    from edgekit.cli.quiet import quiet_start_up

    with quiet_start_up():
        from edgekit.pipeline.demo import FULL, QUICK, run_demo

    result = run_demo(out, seed, effort=QUICK if quick else FULL)
    console = Console()
    console.print(result.comparison.table())
    for check in result.checks:
        console.print(str(check), style="green" if check.passed else "bold red", highlight=False)
    console.print(f"{result.out / 'report.html'}", highlight=False)
    if not result.passed:
        ctx.exit(1)
