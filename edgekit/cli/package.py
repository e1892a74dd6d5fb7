"""`edgekit package`."""

import json
from pathlib import Path

import click

from converters.packaging import TARGETS
from edgekit.cli import options
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.numbers import RealNumbers
from edgekit.cli.paths import TEXT, ReadModel, ReadPath, WriteFolder

# Names of the files that it writes beside the model, `*` for any letters.
WRITTEN = ("*.kt", "*.h", "*.c", "*.cc", "contract.json", "CONTRACT.md", "labels*.txt")


@click.command(cls=EdgekitCommand)
@click.argument("model", type=ReadModel(keras=False))
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    required=True,
    help="android: an app with LiteRT; mcu: firmware with TensorFlow Lite Micro.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=WriteFolder(lambda given: _written(given["model"], given["name"])),
    help="Folder for the files.",
)
@click.option(
    "--labels", type=ReadPath(), help="Text file with the names of the classes, one a line."
)
@click.option(
    "--mean",
    type=RealNumbers(),
    help="What is subtracted from data before the model, or one per channel.",
)
@click.option(
    "--std", type=RealNumbers(), help="What they are divided by then, or one per channel."
)
@click.option(
    "--sample",
    type=options.SAMPLES,
    help="mcu: .npy or .npz with the golden input.  [default: seeded noise]",
)
@click.option(
    "--name", type=TEXT, help="What code calls the model.  [default: as its file is called]"
)
@options.signature
@options.as_json
def package(
    model: str,
    target: str,
    out: str,
    labels: str | None,
    mean: list[float] | None,
    std: list[float] | None,
    sample: str | None,
    name: str | None,
    signature: str | None,
    as_json: bool,
) -> None:
    """Write a folder with a MODEL (.tflite), its contract, and code that runs it.

    \b
    Example:
      edgekit package model.tflite --target mcu --out firmware
      edgekit package model.tflite --target android --out app --mean 127.5 --std 127.5
    """
    from converters import package as package_model

    if (mean is None) != (std is None):
        raise ValueError("--mean and --std belong together: give both, or neither")
    normalization = None if mean is None else (mean, std)
    paths = package_model(model, target, out, labels, normalization, sample, name, signature)
    if as_json:
        contract = json.loads((Path(out) / "contract.json").read_text(encoding="utf-8"))
        click.echo(json.dumps({"files": [str(path) for path in paths], "contract": contract}))
        return
    for path in paths:
        click.echo(f"{path.stat().st_size:>10,} bytes  {path}")


def _written(model: str, name: str | None) -> list[str]:
    return [*WRITTEN, f"{name or Path(model).stem}.tflite"]
