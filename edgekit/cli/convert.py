"""`edgekit convert`."""

import json
from pathlib import Path

import click

from converters.formats import FORMATS


@click.command()
@click.argument("model")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    default=("float32",),
    show_default=True,
    help="Format of a file to write; may be given several times. "
    + "; ".join(f"{f.name}: {f.stores}" for f in FORMATS.values())
    + ".",
)
@click.option("--calibration", help=".npy or .npz with samples like those the model will see.")
@click.option(
    "--edges",
    type=click.Choice(["integer", "float32"]),
    default="integer",
    show_default=True,
    help="What goes in and comes out of an integer file.",
)
@click.option("--out", help="Folder for the files.  [default: that of the model]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def convert(
    model: str,
    formats: tuple[str, ...],
    calibration: str | None,
    edges: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Convert a Keras MODEL (.keras, .h5) to LiteRT files.

    Writes MODEL_FORMAT.tflite for each format.

    \b
    Example:
      edgekit convert model.keras --format float16 --format int8 --calibration x.npz
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from converters import inspect
    from converters.samples import load_samples
    from edgekit.cli.keras_file import load_keras_model
    from edgekit.cli.quiet import quiet_start_up

    with quiet_start_up():
        from converters import convert as convert_model

    samples = load_samples(calibration) if calibration else None
    folder = Path(out) if out else Path(model).parent
    if not folder.is_dir():
        raise ValueError(f"--out {folder} is not a folder: make it first")
    keras_model = load_keras_model(model)
    with Console(stderr=True).status(f"converting {model}"):
        results = convert_model(keras_model, formats, samples, edges)
    rows = []
    for name, flatbuffer in results.items():
        path = flatbuffer.save(folder / f"{Path(model).stem}_{name}.tflite")
        report = inspect(flatbuffer)
        rows.append(
            {
                "format": name,
                "file": str(path),
                "bytes": flatbuffer.size,
                "gzip_bytes": flatbuffer.gzip_size,
                "op_dtypes": report.op_dtypes,
                "float_islands": [op.name for op in report.float_islands],
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("format", "bytes", "gzip", "ops by dtype", "file", box=box.SIMPLE_HEAD)
    table.columns[-1].overflow = "fold"
    for row in rows:
        dtypes = ", ".join(f"{count} {dtype}" for dtype, count in row["op_dtypes"].items())
        table.add_row(
            row["format"], f"{row['bytes']:,}", f"{row['gzip_bytes']:,}", dtypes, row["file"]
        )
    Console().print(table)
