"""What all commands have in common: places are checked, failures are sentences."""

import contextlib
import json
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from edgekit.cli.paths import check_places, folders_to_make, settle_defaults

CHECK_FAILED, BAD_INPUT = 1, 2
# As shells have it: 128 and the signal's number.
INTERRUPTED, TERMINATED = 130, 143


_terminated = threading.Event()


class Terminated(KeyboardInterrupt):
    """SIGTERM came: whatever Ctrl-C tidies up is tidied up."""


def interrupted_code() -> int:
    """The exit code of what was stopped: by SIGTERM, or else by Ctrl-C."""
    return TERMINATED if _terminated.is_set() else INTERRUPTED


class EdgekitCommand(click.Command):
    """A command whose places are checked before any work, by the types of its parameters."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        settle_defaults(self, ctx.params)
        check_places(self, ctx.params)
        with _folders(folders_to_make(self, ctx.params)):
            return super().invoke(ctx)


class EdgekitGroup(click.Group):
    """Turns what a user's files and numbers cause into one line and an exit code."""

    command_class = EdgekitCommand

    def main(self, args: Sequence[str] | None = None, *rest, standalone_mode=True, **named) -> Any:
        """Run a command, and leave with its exit code."""
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            with _sigterm_as_interrupt(), _plain_warnings():
                code = super().main(arguments, *rest, standalone_mode=False, **named)
        except BaseException as error:
            if not standalone_mode:
                raise
            self._leave(error, arguments)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def _leave(self, error: BaseException, arguments: list[str]) -> NoReturn:
        if isinstance(error, SystemExit):
            raise error
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            sys.exit(BAD_INPUT)
        if isinstance(error, (KeyboardInterrupt, EOFError, click.Abort)):
            code = interrupted_code()
            said = "terminated" if code == TERMINATED else "interrupted"
        elif _is_failed_check(error):
            code, said = CHECK_FAILED, _one_line(error)
        else:
            if os.environ.get("EDGEKIT_TRACEBACK") and not isinstance(error, click.ClickException):
                raise error
            code, said = BAD_INPUT, _in_option_names(_sentence(error), self._command(arguments))
        if "--json" in arguments:
            click.echo(json.dumps({"error": said, "exit_code": code}, ensure_ascii=False))
        click.echo(f"Error: {said}", err=True)
        sys.exit(code)

    def _command(self, arguments: list[str]) -> click.Command | None:
        return next((self.commands[word] for word in arguments if word in self.commands), None)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Within the block SIGTERM, and the end of the terminal, tidy up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        _terminated.set()
        raise Terminated

    _terminated.clear()
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    kept = {number: signal.getsignal(number) for number in signals}
    for number, handler in kept.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    kept, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        yield
    finally:
        warnings.showwarning = kept


@contextmanager
def _folders(missing) -> Iterator[None]:
    """Makes folders for the block; after an error those that stayed empty go again."""
    made = []
    for folder in missing:
        folder.mkdir(exist_ok=True)
        made.append(folder)
    try:
        yield
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _sentence(error: BaseException) -> str:
    """What went wrong, in one sentence."""
    from converters.errors import ConversionError

    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return (
            "this needs more memory than there is: use a smaller model, a smaller batch or fewer "
            "samples"
        )
    if isinstance(error, RecursionError):
        return "a file given is nested too deeply to be read"
    if isinstance(error, (ValueError, TypeError, ImportError, OSError, ConversionError)):
        return _one_line(error)
    return (
        f"{type(error).__name__}: {_one_line(error)}; EDGEKIT_TRACEBACK=1 shows where it came from"
    )


def _is_failed_check(error: BaseException) -> bool:
    """Whether the input was good and what came of it is not."""
    from converters.errors import FailedCheckError

    training_lost_its_weights = isinstance(error, FloatingPointError)
    return training_lost_its_weights or isinstance(error, FailedCheckError)


def _is_out_of_memory(error: BaseException) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)


def _in_option_names(text: str, command: click.Command | None) -> str:
    """The sentence with the options of the command line in the place of Python's arguments."""
    names = {
        param.name: max(param.opts, key=len)
        if isinstance(param, click.Option)
        else param.human_readable_name
        for param in (command.params if command else ())
    }
    names |= {
        name.removeprefix("--").replace("-", "_"): name
        for name in names.values()
        if name.startswith("--")
    }

    def option(match: re.Match) -> str:
        return names.get(match[1], match[0])

    text = re.sub(r"\bnp\.\w+\(([^()]*)\)", r"\1", text)  # numbers as NumPy shows them
    text = re.sub(r"`(\w+)`", option, text)
    return re.sub(
        r"(?<=Received: )(\w+)=", lambda m: f"{names[m[1]]} " if m[1] in names else m[0], text
    )


def _shown_name(param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name


def _show_warning(message, category, filename, lineno, file=None, line=None):
    click.echo(f"Warning: {message}", err=True, file=file or sys.stderr)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
