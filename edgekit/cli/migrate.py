"""`edgekit migrate`."""

import json
from pathlib import Path

import click


@click.command()
@click.argument("old")
@click.option("-o", "--out", help="The .keras file.  [default: beside OLD]")
@click.option("--allow", multiple=True, help="A layer whose code in the file may run.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def migrate(old: str, out: str | None, allow: tuple[str, ...], as_json: bool) -> None:
    """Carry an OLD model (.h5, .keras or SavedModel of Keras 2) over to Keras 3.

    The new model is asked whether it answers as the old one does, on random samples.

    \b
    Example:
      edgekit migrate resnet8.h5 -o resnet8.keras
    """
    from edgekit.cli.out_file import out_file
    from edgekit.cli.quiet import quiet_start_up
    from edgekit.core.files import write_beside

    default = Path(old).with_suffix(".keras")
    if not out and default.exists():
        raise ValueError(f"{default} exists: name the new file with --out")
    path = out_file(out or default, old)
    if path.suffix != ".keras":
        raise ValueError(f"--out {path}: Keras saves models as .keras")
    with quiet_start_up():
        from edgekit.pipeline.load_model import migrate as migrate_model
    found = migrate_model(old, allow=allow)
    write_beside(path, found.model.save)
    if as_json:
        click.echo(json.dumps({"file": str(path), **found.to_json()}, indent=2))
        return
    click.echo(f"{found}\n{path}: {path.stat().st_size:,} bytes")
