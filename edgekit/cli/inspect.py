"""`edgekit inspect`."""

import json

import click

from converters.targets import describe_target
from edgekit.cli import options
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.paths import ReadModel


@click.command(cls=EdgekitCommand)
@click.argument("model", type=ReadModel(keras=False))
@options.targets
@options.signature
@options.as_json
def inspect(model: str, targets: tuple[str, ...], signature: str | None, as_json: bool) -> None:
    """Show what a MODEL (.tflite) computes: ops, dtypes, sparsity, inputs, outputs.

    \b
    Example:
      edgekit inspect model.tflite --target tflite-micro
    """
    from rich.console import Console

    from converters import inspect as inspect_model

    report = inspect_model(model, signature)
    found = {target: report.unsupported(target) for target in targets}
    if as_json:
        verdicts = {target: [vars(op) for op in ops] for target, ops in found.items()}
        both = {**report.to_dict(), **({"unsupported": verdicts} if targets else {})}
        click.echo(json.dumps(both, indent=2, ensure_ascii=False))
        return
    console = Console()
    for table in report.tables():
        console.print(table)
    console.print(report.summary(), highlight=False)
    for target, ops in found.items():
        console.print(describe_target(target, ops), highlight=False)
