"""`edgekit mixed-precision`."""

import json
from pathlib import Path

import click

from edgekit.cli import options


@click.command()
@click.argument("model")
@options.calibration
@click.option("--max-bytes", type=click.IntRange(min=1), help="The largest file.")
@click.option("--max-drop", type=float, help="The most accuracy to lose; 0.01 is one point.")
@click.option("--labels", help=".npy with the right classes of the samples, for --max-drop.")
@click.option("--out", help="The file to write.  [default: MODEL_mixed.tflite]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def mixed_precision(
    model: str,
    calibration: str,
    max_bytes: int | None,
    max_drop: float | None,
    labels: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Write a MODEL with 4 or 8 bits for each op's weights, under a budget.

    \b
    Example:
      edgekit mixed-precision model.keras --calibration x.npz --max-bytes 60000
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from converters.samples import load_samples
    from edgekit.cli.model_file import load_convertible
    from edgekit.cli.out_file import out_file
    from edgekit.cli.quiet import quiet_start_up

    with quiet_start_up():
        from converters import mixed_precision as allocate
    path = out_file(out or Path(model).with_name(f"{Path(model).stem}_mixed.tflite"), model)
    classes = None if labels is None else load_samples(labels)
    if isinstance(classes, dict):
        raise ValueError(f"--labels {labels} holds several arrays: give a .npy file with one")
    found = allocate(load_convertible(model), calibration, max_bytes, max_drop, classes)
    found.file.save(path)
    result = {
        "file": str(path),
        "bytes": found.file.size,
        "bits": found.bits,
        "decibel": found.file.check.worst[1],
        "accuracy": found.accuracy,
        "float_accuracy": found.float_accuracy,
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    table = Table("tensor", "bits of its weights", box=box.SIMPLE_HEAD)
    for name, bits in found.bits.items():
        table.add_row(name, str(bits))
    console = Console()
    console.print(table)
    said = f"{path}: {found.file.size:,} bytes, {result['decibel']:.1f} dB of signal to noise"
    if found.accuracy is not None:
        said += f", {found.accuracy:.2%} right (float {found.float_accuracy:.2%})"
    console.print(said, highlight=False, soft_wrap=True)
