"""`edgekit distill`."""

import json
from pathlib import Path

import click

from converters.file_kinds import check_model_file
from edgekit.cli import options
from edgekit.cli.command import EdgekitCommand
from edgekit.cli.numbers import RealRange
from edgekit.cli.paths import ReadModel, ReadPath, WritePath


@click.command(cls=EdgekitCommand)
@click.argument("teachers", nargs=-1, required=True, type=ReadModel())
@click.option(
    "--data",
    required=True,
    type=ReadPath(),
    help=".npz with samples and labels: x and y, or x_train and y_train.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=WritePath(".keras"),
    help="The trained student, a .keras file.",
)
@click.option(
    "--student",
    type=ReadModel(tflite=False),
    help="The student, a .keras file.  [default: a narrow teacher]",
)
@click.option(
    "--width", type=RealRange(0, 16, min_open=True), help="Of the narrow teacher.  [default: 0.5]"
)
@click.option(
    "--depth", type=RealRange(0, 16, min_open=True), help="Of the narrow teacher.  [default: 1]"
)
@click.option(
    "--temperature",
    default=4.0,
    show_default=True,
    type=RealRange(0, 1000, min_open=True),
    help="Of the soft targets.",
)
@click.option(
    "--student-weight",
    default=0.1,
    show_default=True,
    type=RealRange(0, 1),
    help="Weight of the labels.",
)
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1, 100_000))
@click.option(
    "--learning-rate",
    default=1e-3,
    show_default=True,
    type=RealRange(0, 10, min_open=True),
    help="Of Adam, falling to 0 by a cosine.",
)
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(1, 2**20))
@click.option(
    "--validation",
    default=0.1,
    show_default=True,
    type=RealRange(0, 1, min_open=True, max_open=True),
    help="Share of the samples, the last ones, to measure on.",
)
@options.seed("Of new weights and of the order of the samples.")
@options.as_json
def distill(
    teachers: tuple[str, ...],
    data: str,
    out: str,
    student: str | None,
    as_json: bool,
    **recipe: float | None,
) -> None:
    """Train a small classifier to answer as TEACHERS (.keras, .h5 or .tflite) do.

    Several teachers are one ensemble. Without --student the student is the first teacher, narrower.

    \b
    Example:
      edgekit distill big.keras --data train.npz -o small.keras
      edgekit distill a.keras b.keras --student tiny.keras --data train.npz -o tiny_taught.keras
    """
    from rich.console import Console

    from converters.progress import Stages
    from edgekit.cli.data import labelled_data
    from edgekit.cli.model_file import load_convertible, load_keras_model
    from edgekit.cli.quiet import quiet_start_up

    place = Path(out)
    given = {name: value for name, value in recipe.items() if value is not None}
    for name in ("width", "depth"):
        if student and name in given:
            raise ValueError(f"--{name} is of a narrow teacher, and --student is another model")
    files = [path for path in teachers if path.endswith(".tflite")]
    if files and len(teachers) > 1:
        raise ValueError("several TEACHERS have to be Keras models: a .tflite teaches alone")
    if files and not student:
        raise ValueError("--student is needed: a .tflite cannot be made narrower")
    x, y = labelled_data(data)
    for path in (*teachers, *([student] if student else [])):
        check_model_file(path)
    with quiet_start_up():
        from edgekit.pipeline.distillation import Recipe, distill_and_compare
    loaded = [load_convertible(path) for path in teachers]
    with Stages().running() as stages:
        found = distill_and_compare(
            loaded,
            load_keras_model(student) if student else None,
            (x, y),
            place,
            Recipe(**given),
            stages.counter("training"),
        )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        Console().print(found.table())
        click.echo(f"{place}: {found.student_parameters:,} parameters")
