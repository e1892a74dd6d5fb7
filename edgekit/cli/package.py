"""`edgekit package`."""

import json
from pathlib import Path

import click

from converters.packaging import TARGETS


@click.command()
@click.argument("model")
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    required=True,
    help="android: an app with LiteRT; mcu: firmware with TensorFlow Lite Micro.",
)
@click.option("--out", required=True, help="Folder for the files; made if missing.")
@click.option("--labels", help="Text file with the names of the classes, one a line.")
@click.option("--mean", help="What is subtracted from data before the model, or one per channel.")
@click.option("--std", help="What they are divided by then, or one per channel.")
@click.option("--sample", help="mcu: .npy or .npz with the golden input.  [default: seeded noise]")
@click.option("--name", help="What code calls the model.  [default: as its file is called]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def package(
    model: str,
    target: str,
    out: str,
    labels: str | None,
    mean: str | None,
    std: str | None,
    sample: str | None,
    name: str | None,
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
    normalization = None if mean is None else (_numbers("--mean", mean), _numbers("--std", std))
    paths = package_model(model, target, out, labels, normalization, sample, name)
    if as_json:
        contract = json.loads((Path(out) / "contract.json").read_text(encoding="utf-8"))
        click.echo(json.dumps({"files": [str(path) for path in paths], "contract": contract}))
        return
    for path in paths:
        click.echo(f"{path.stat().st_size:>10,} bytes  {path}")


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{option} must be a number, or several with commas. Received: {text!r}"
        ) from None
