"""`edgekit distill`."""

import json

import click


@click.command()
@click.argument("teachers", nargs=-1, required=True)
@click.option("--data", required=True, help=".npz with arrays x and y.")
@click.option("-o", "--out", required=True, help="The trained student, a .keras file.")
@click.option("--student", help="The student, a .keras file.  [default: a narrow teacher]")
@click.option("--width", type=float, help="Of the narrow teacher.  [default: 0.5]")
@click.option("--depth", type=float, help="Of the narrow teacher.  [default: 1]")
@click.option("--temperature", default=4.0, show_default=True, help="Of the soft targets.")
@click.option(
    "--student-weight", default=0.1, show_default=True, help="Weight of the labels, 0 to 1."
)
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1))
@click.option("--learning-rate", default=1e-3, show_default=True, type=click.FloatRange(0, 10))
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(1))
@click.option(
    "--validation",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the samples, the last ones, to measure on.",
)
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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

    from edgekit.cli.model_file import load_convertible, load_keras_model
    from edgekit.cli.out_file import out_file
    from edgekit.cli.quiet import quiet_start_up
    from edgekit.cli.training_data import labelled_data

    place = out_file(out, *teachers, *([student] if student else []), data)
    if place.suffix != ".keras":
        raise ValueError(f"--out {out}: Keras saves models as .keras")
    given = {name: value for name, value in recipe.items() if value is not None}
    for name in ("width", "depth"):
        if student and name in given:
            raise ValueError(f"--{name} is of a narrow teacher, and --student is another model")
    x, y = labelled_data(data)
    with quiet_start_up():
        from edgekit.pipeline.distillation import Recipe, distill_and_compare
    loaded = [load_convertible(path) for path in teachers]
    found = distill_and_compare(
        loaded,
        load_keras_model(student) if student else None,
        (x, y),
        place,
        Recipe(**given),
        verbose=0 if as_json else 1,
    )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        Console().print(found.table())
        click.echo(f"{place}: {found.student_parameters:,} parameters")
