"""`edgekit unpack`."""

import json
from pathlib import Path

import click

from edgekit.cli import options
from edgekit.cli.coding_stages import coding_counter
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.paths import ReadPath, WritePath


@click.command(cls=EdgekitCommand)
@click.argument("packed", type=ReadPath())
@click.option(
    "-o",
    "--out",
    type=WritePath(
        default=lambda given: Path(given["packed"]).with_suffix(".tflite"), may_exist=False
    ),
    help="The .tflite file.  [default: beside PACKED, if there is none]",
)
@options.as_json
def unpack(packed: str, out: str, as_json: bool) -> None:
    """Unpack a PACKED file (.ekz) to the .tflite it was made from, byte for byte.

    \b
    Example:
      edgekit unpack model.ekz -o model.tflite
    """
    from converters.packed import unpack as unpack_model
    from converters.progress import Stages

    with Stages().running() as stages:
        flatbuffer = unpack_model(packed, coding_counter(stages, "unpacking"))
    flatbuffer.save(out)
    if as_json:
        click.echo(json.dumps({"file": out, "bytes": flatbuffer.size}))
    else:
        click.echo(f"{out}: {flatbuffer.size:,} bytes")
