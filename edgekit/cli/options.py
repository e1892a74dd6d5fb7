"""Options that several commands have."""

import click

from converters.targets import TARGETS

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
    help=".npy or .npz with samples like those the model will see, or a folder of images.",
)
