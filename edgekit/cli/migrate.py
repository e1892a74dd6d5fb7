"""`edgekit migrate`."""

import json
from pathlib import Path

import click

from edgekit.cli import options
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.paths import TEXT, ReadModel, WritePath


@click.command(cls=EdgekitCommand)
@click.argument("old", type=ReadModel(tflite=False))
@click.option(
    "-o",
    "--out",
    type=WritePath(
        ".keras", default=lambda given: Path(given["old"]).with_suffix(".keras"), may_exist=False
    ),
    help="The .keras file.  [default: beside OLD, if there is none]",
)
@click.option(
    "--allow",
    type=TEXT,
    multiple=True,
    help="A layer, or a class of layers, whose code in the file may run.",
)
@options.as_json
def migrate(old: str, out: str, allow: tuple[str, ...], as_json: bool) -> None:
    """Carry an OLD model (.h5, .keras or SavedModel of Keras 2) over to Keras 3.

    The new model is asked whether it answers as the old one does, on random samples.

    \b
    Example:
      edgekit migrate resnet8.h5 -o resnet8.keras
    """
    from edgekit.cli.quiet import quiet_start_up
    from edgekit.core.files import write_beside

    path = Path(out)
    with quiet_start_up():
        from edgekit.pipeline.load_model import migrate as migrate_model
    found = migrate_model(old, allow=allow)
    write_beside(path, found.model.save)
    if as_json:
        click.echo(json.dumps({"file": str(path), **found.to_json()}, indent=2))
        return
    click.echo(f"{found}\n{path}: {path.stat().st_size:,} bytes")
