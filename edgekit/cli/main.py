"""`edgekit`: the group of commands."""

import click

from edgekit import __version__
from edgekit.cli.bench import bench
from edgekit.cli.command import EdgekitGroup
from edgekit.cli.convert import convert
from edgekit.cli.demo import demo
from edgekit.cli.distill import distill
from edgekit.cli.inspect import inspect
from edgekit.cli.migrate import migrate
from edgekit.cli.mixed_precision import mixed_precision
from edgekit.cli.pack import pack
from edgekit.cli.package import package
from edgekit.cli.sensitivity import sensitivity
from edgekit.cli.unpack import unpack


@click.group(cls=EdgekitGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
def main() -> None:
    """Compress Keras models, convert them to LiteRT, and measure what that cost.

    Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted (Ctrl-C), 143 terminated.
    EDGEKIT_TRACEBACK=1 shows where an error came from.
    """


_COMMANDS = (
    demo,
    distill,
    migrate,
    convert,
    inspect,
    sensitivity,
    mixed_precision,
    bench,
    package,
    pack,
    unpack,
)
for command in _COMMANDS:
    main.add_command(command)
