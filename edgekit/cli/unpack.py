"""`edgekit unpack`."""

from pathlib import Path

import click


@click.command()
@click.argument("packed")
@click.option("-o", "--out", help="The .tflite file.  [default: beside PACKED]")
def unpack(packed: str, out: str | None) -> None:
    """Unpack a PACKED file (.ekz) to the .tflite it was made from, byte for byte.

    \b
    Example:
      edgekit unpack model.ekz -o model.tflite
    """
    from converters.packed import unpack as unpack_model
    from edgekit.cli.out_file import out_file

    flatbuffer = unpack_model(packed)
    path = out_file(out or Path(packed).with_suffix(".tflite"), packed)
    flatbuffer.save(path)
    click.echo(f"{path}: {flatbuffer.size:,} bytes")
