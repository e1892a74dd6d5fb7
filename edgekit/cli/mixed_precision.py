"""`edgekit mixed-precision`."""

import json
from math import isfinite
from pathlib import Path

import click

from converters.file_kinds import check_model_file
from converters.one_line import as_cell
from edgekit.cli import options
from edgekit.cli.calibration import check_samples
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.numbers import RealRange
from edgekit.cli.paths import ReadModel, ReadPath, WritePath


@click.command(cls=EdgekitCommand)
@click.argument("model", type=ReadModel())
@options.calibration
@click.option("--max-bytes", type=click.IntRange(1, options.MANY_BYTES), help="The largest file.")
@click.option(
    "--max-drop", type=RealRange(0, 1), help="The most accuracy to lose; 0.01 is one point."
)
@click.option(
    "--labels",
    type=ReadPath(),
    help=".npy or .npz with the right classes of the samples, for --max-drop.",
)
@click.option(
    "-o",
    "--out",
    type=WritePath(
        default=lambda given: (model := Path(given["model"])).with_name(
            f"{model.stem}_mixed.tflite"
        )
    ),
    help="The file to write.  [default: MODEL_mixed.tflite]",
)
@options.as_json
def mixed_precision(
    model: str,
    calibration: str,
    max_bytes: int | None,
    max_drop: float | None,
    labels: str | None,
    out: str,
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

    from converters.progress import Stages
    from edgekit.cli.data import load_labels
    from edgekit.cli.model_file import load_convertible
    from edgekit.cli.quiet import quiet_start_up

    if (max_bytes is None) == (max_drop is None):
        raise ValueError("give either --max-bytes or --max-drop: one of them is the budget")
    if max_drop is not None and labels is None:
        raise ValueError("--max-drop needs --labels: accuracy is that of labeled samples")
    if labels is not None and max_drop is None:
        raise ValueError("--labels is for --max-drop: --max-bytes compares no answers")
    check_samples(calibration)
    path = Path(out)
    classes = None if labels is None else load_labels(labels)
    check_model_file(model)
    with quiet_start_up():
        from converters import mixed_precision as allocate
    with Stages().running():
        found = allocate(load_convertible(model), calibration, max_bytes, max_drop, classes)
    found.file.save(path)
    result = {
        "file": str(path),
        "bytes": found.file.size,
        "bits": found.bits,
        # JSON has no infinity: null where nothing differs.
        "decibel": decibel if isfinite(decibel := found.file.check.worst[1]) else None,
        "accuracy": found.accuracy,
        "float_accuracy": found.float_accuracy,
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    table = Table("tensor", "bits of its weights", box=box.SIMPLE_HEAD)
    for name, bits in found.bits.items():
        table.add_row(as_cell(name), str(bits))
    console = Console()
    console.print(table)
    said = f"{path}: {found.file.size:,} bytes, {decibel:.1f} dB of signal to noise"
    if found.accuracy is not None:
        said += f", {found.accuracy:.2%} right (float {found.float_accuracy:.2%})"
    console.print(said, highlight=False, soft_wrap=True)
