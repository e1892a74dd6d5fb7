"""`edgekit inspect`."""

import click


@click.command()
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model: str, as_json: bool) -> None:
    """Show what a MODEL (.tflite) computes: ops, dtypes, sparsity, inputs, outputs.

    \b
    Example:
      edgekit inspect model.tflite
    """
    from rich.console import Console

    from converters import inspect as inspect_model

    report = inspect_model(model)
    if as_json:
        click.echo(report.to_json())
        return
    console = Console()
    for table in report.tables():
        console.print(table)
    console.print(report.summary(), highlight=False)
