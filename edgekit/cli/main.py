"""`edgekit`: the group of commands, and what all of them do with bad input."""

import os
import sys
import warnings

import click

from edgekit import __version__
from edgekit.cli.bench import bench
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

BAD_INPUT = 2


class EdgekitGroup(click.Group):
    """Turns errors about the user's input into one line and exit code 2."""

    def invoke(self, ctx):
        from converters.errors import ConversionError

        warnings.showwarning = _show_warning
        try:
            return super().invoke(ctx)
        except (ValueError, TypeError, ImportError, OSError, ConversionError) as error:
            if os.environ.get("EDGEKIT_TRACEBACK"):
                raise
            click.echo(f"Error: {_one_line(error)}", err=True)
            ctx.exit(BAD_INPUT)


@click.group(cls=EdgekitGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
def main() -> None:
    """Compress Keras models, convert them to LiteRT, and measure what that cost.

    Exit codes: 0 done, 1 a check failed, 2 bad input. EDGEKIT_TRACEBACK=1 shows where an error
    came from.
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


def _show_warning(message, category, filename, lineno, file=None, line=None):
    click.echo(f"Warning: {message}", err=True, file=file or sys.stderr)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
