"""Options that several commands have."""

import click

from converters.targets import TARGETS
from edgekit.cli.numbers import SEED
from edgekit.cli.paths import TEXT, ReadPath

SAMPLES = ReadPath(folder="images")
FEW_BYTES, MANY_BYTES = 1, 2**40

targets = click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    help="Name the ops that do not run there; may be given several times.",
)
calibration = click.option(
    "--calibration",
    required=True,
    type=SAMPLES,
    help=".npy or .npz with samples like those the model will see, or a folder of images.",
)
signature = click.option(
    "--signature",
    type=TEXT,
    help="Key of the signature, where a file has several.  [default: serving_default or the first]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, errors included.")


def seed(help: str):
    """`--seed`, 0 where it is not given."""
    return click.option("--seed", default=0, type=SEED, show_default=True, help=help)
