"""`edgekit sensitivity`."""

import json

import click

from edgekit.cli import options


@click.command()
@click.argument("model")
@options.calibration
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sensitivity(model: str, calibration: str, as_json: bool) -> None:
    """Rank the ops of a MODEL by the damage each does when it alone computes in integers.

    \b
    Example:
      edgekit sensitivity model.keras --calibration x.npz
    """
    from rich.console import Console

    from edgekit.cli.model_file import load_convertible
    from edgekit.cli.quiet import quiet_start_up

    with quiet_start_up():
        from converters import sensitivity as measure
    found = measure(load_convertible(model), calibration)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        Console().print(found.table())
