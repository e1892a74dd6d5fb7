"""`edgekit sensitivity`."""

import json

import click

from converters.file_kinds import check_model_file
from edgekit.cli import options
from edgekit.cli.calibration import check_samples
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.paths import ReadModel


@click.command(cls=EdgekitCommand)
@click.argument("model", type=ReadModel())
@options.calibration
@options.as_json
def sensitivity(model: str, calibration: str, as_json: bool) -> None:
    """Rank the ops of a MODEL by the damage each does when it alone computes in integers.

    \b
    Example:
      edgekit sensitivity model.keras --calibration x.npz
    """
    from rich.console import Console

    from converters.progress import Stages
    from edgekit.cli.model_file import load_convertible
    from edgekit.cli.quiet import quiet_start_up

    check_samples(calibration)
    check_model_file(model)
    with quiet_start_up():
        from converters import sensitivity as measure
    with Stages().running():
        found = measure(load_convertible(model), calibration)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        Console().print(found.table())
