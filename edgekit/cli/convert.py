"""`edgekit convert`."""

import json
from math import isfinite
from pathlib import Path

import click

from converters.calibration.estimators import ESTIMATORS
from converters.checks import Check
from converters.file_kinds import check_model_file, may_be_quantization_aware
from converters.formats import FORMATS
from converters.one_line import as_cell
from converters.weights import BLOCKS
from edgekit.cli import options
from edgekit.cli.calibration import (
    Samples,
    check_calibration,
    missing_samples_in_options,
    samples_given,
)
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.paths import TEXT, ReadModel, WriteFolder


@click.command(cls=EdgekitCommand)
@click.argument("model", type=ReadModel())
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
@click.option(
    "--calibration",
    type=options.SAMPLES,
    help=".npy or .npz with samples like those the model will see, or a folder of images.",
)
@click.option(
    "--calibration-for",
    "calibration_for",
    type=(TEXT, options.SAMPLES),
    metavar="SIGNATURE PATH",
    multiple=True,
    help="The same for one signature of a .tflite with several; may be given several times.",
)
@click.option(
    "--keep-float",
    "keep_float",
    type=TEXT,
    metavar="SIGNATURE",
    multiple=True,
    help="A signature that stays float32; may be given several times.",
)
@click.option(
    "--estimator",
    type=click.Choice(list(ESTIMATORS)),
    default="minmax",
    show_default=True,
    help="How activation ranges come from the samples.",
)
@click.option("--symmetric", is_flag=True, help="Zero in the middle of an activation's integers.")
@click.option(
    "--block",
    type=click.Choice([str(b) for b in BLOCKS]),
    help="Weights that share a scale in the Dense kernels of dynamic_int4.  [default: a channel]",
)
@click.option(
    "--sparse", is_flag=True, help="Store kernels sparse where that is smaller and LiteRT runs it."
)
@click.option(
    "--edges",
    type=click.Choice(["integer", "float32"]),
    default="integer",
    show_default=True,
    help="What goes in and comes out of an integer file.",
)
@options.targets
@click.option(
    "-o",
    "--out",
    type=WriteFolder(
        lambda given: [f"{Path(given['model']).stem}_{name}.tflite" for name in given["formats"]],
        default=lambda given: Path(given["model"]).parent,
    ),
    help="Folder for the files.  [default: that of the model]",
)
@options.as_json
def convert(
    model: str,
    formats: tuple[str, ...],
    calibration: str | None,
    calibration_for: tuple[tuple[str, str], ...],
    keep_float: tuple[str, ...],
    estimator: str,
    symmetric: bool,
    block: str | None,
    sparse: bool,
    edges: str,
    targets: tuple[str, ...],
    out: str,
    as_json: bool,
) -> None:
    """Convert a MODEL (.keras, .h5, a SavedModel, or a float .tflite) to LiteRT files.

    Writes MODEL_FORMAT.tflite for each format, each loaded, run and compared with the model.

    \b
    Example:
      edgekit convert model.keras --format float16 --format int8 --calibration x.npz
      edgekit convert two.tflite --format int8 --calibration-for a x.npy --keep-float b
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from converters.progress import Stages
    from converters.targets import Unsupported, describe_target
    from edgekit.cli.model_file import load_convertible
    from edgekit.cli.quiet import quiet_start_up

    samples = samples_given(calibration, calibration_for, keep_float)
    _check_options(model, formats, samples, block)
    with quiet_start_up():
        from converters import convert as convert_model
        from converters import inspect

    folder = Path(out)
    with Stages().running(), missing_samples_in_options(model):
        results = convert_model(
            load_convertible(model),
            formats,
            samples,
            edges,
            estimator=estimator,
            symmetric=symmetric,
            block=block and int(block),
            sparse=sparse,
        )
    rows = []
    for name, flatbuffer in results.items():
        path = flatbuffer.save(folder / f"{Path(model).stem}_{name}.tflite")
        report, others = inspect(flatbuffer), flatbuffer.check.signatures
        checks = [flatbuffer.check, *others.values()]
        rows.append(
            {
                "format": name,
                "file": str(path),
                "bytes": flatbuffer.size,
                "gzip_bytes": flatbuffer.gzip_size,
                "op_dtypes": report.op_dtypes,
                "float_islands": [op.name for op in report.float_islands],
                "decibel": _decibel(*checks),
                "decibel_of_others": {key: _decibel(c) for key, c in others.items()},
                "agreement": flatbuffer.check.agreement,
                "notes": flatbuffer.check.notes,
                "unsupported": {t: [vars(u) for u in report.unsupported(t)] for t in targets},
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(
        "format", "bytes", "gzip", "ops by dtype", "signal/noise", "file", box=box.SIMPLE_HEAD
    )
    table.columns[-1].overflow = "fold"
    for row in rows:
        dtypes = ", ".join(f"{count} {dtype}" for dtype, count in row["op_dtypes"].items())
        sizes = f"{row['bytes']:,}", f"{row['gzip_bytes']:,}"
        noise = "none" if row["decibel"] is None else f"{row['decibel']:.1f} dB"
        table.add_row(row["format"], *sizes, dtypes, noise, as_cell(row["file"]))
    console = Console()
    console.print(table)
    for row in rows:
        for note in row["notes"]:
            console.print(f"{row['format']}: {note}", highlight=False, soft_wrap=True)
        for target, ops in row["unsupported"].items():
            verdict = describe_target(target, [Unsupported(**op) for op in ops])
            console.print(f"{row['format']}: {verdict}", highlight=False, soft_wrap=True)


def _decibel(*checks: Check) -> float | None:
    """The lowest signal-to-noise ratio; None where nothing differs, as JSON has no infinity."""
    decibel = min(check.worst[1] for check in checks)
    return decibel if isfinite(decibel) else None


def _check_options(
    model: str, formats: tuple[str, ...], calibration: Samples | None, block: str | None
) -> None:
    """Refuse what the options alone show to be of no use, before TensorFlow is loaded.

    Raises:
        ValueError: It is.
    """
    if block is not None and "dynamic_int4" not in formats:
        raise ValueError("--block is for --format dynamic_int4: LiteRT computes no other by blocks")
    integer = [name for name in formats if FORMATS[name].integer]
    if integer and calibration is None and not may_be_quantization_aware(model):
        raise ValueError(
            f"--format {integer[0]} needs --calibration: samples like those the model will see, "
            "in a .npy or .npz file or a folder of images (a few hundred are enough), or a "
            "quantization-aware MODEL"
        )
    if calibration is not None:
        check_calibration(model, calibration)
    check_model_file(model)
