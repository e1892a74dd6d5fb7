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

    path = Path(out) if out else Path(packed).with_suffix(".tflite")
    flatbuffer = unpack_model(packed)
    if path.resolve() == Path(packed).resolve():
        raise ValueError(f"--out {path} is the file to read: name another")
    flatbuffer.save(path)
    click.echo(f"{path}: {flatbuffer.size:,} bytes")
