"""How every command fails: one line on standard error.

In: a command, and whatever it raises. Out: that line and exit code 1; for an unforeseen error also its traceback in a
private file. Knows no command.
"""

import errno
import os
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click

from undertow.core.errors import EndedBySignal, Refused, UndertowError, WrongUsage
from undertow.core.extras import explain, require_extras
from undertow.core.private_files import OURS, make_folder
from undertow.core.readable import one_line
from undertow.core.secret_mask import MaskText, SecretMask, mask_patterns
from undertow.telemetry.logs import mask_last_resort
from undertow.telemetry.output import OutputError, guarded_output, say

TRACES = Path(OURS) / "errors"
AGAIN = "it will be tried again"
KEPT = 20
"""How many tracebacks are kept, the newest. A choice."""


class OneLineGroup(click.Group):
    """A group that prints one line for any error. Its context's `obj` says whether to show the traceback, too."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command with standard output guarded: --help and --version print before there is a command."""
        with guarded_output():
            return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click itself shows its own errors (wrong usage, Ctrl-C)."""
        mask_last_resort(_mask_line)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except OutputError:
            raise  # `main` tells it
        except (UndertowError, EndedBySignal) as error:
            # A fleet tries again by itself; a command that ends here does not.
            told = str(error).replace(AGAIN, "run this again")
            return _fail(ctx, error, one_line(_mask().known(told)))
        except ModuleNotFoundError as error:
            if refusal := explain(f"undertow {ctx.invoked_subcommand}", error):
                return _fail(ctx, refusal, one_line(str(refusal)))
            return _fail_unforeseen(ctx, error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of the pipe, such as `head`, has closed it: click exits quietly
            if refusal := _no_temporary_folder(error):
                return _fail(ctx, refusal, one_line(str(refusal)))
            return _fail_unforeseen(ctx, error)


def needing(command: click.Command, *extras: str) -> click.Command:
    """Let a command say at once what it lacks of these extras, once its arguments are read, and how it is used."""
    run = command.callback
    if run is None:
        message = f"expected a command that runs something, found {command.name}"
        raise TypeError(message)

    @wraps(run)
    def require_and_run(*args: Any, **options: Any) -> Any:
        require_extras(f"undertow {command.name}", *extras)
        try:
            return run(*args, **options)
        except WrongUsage as error:
            raise click.UsageError(one_line(_mask().known(str(error)))) from error

    command.callback = require_and_run
    return command


def _fail_unforeseen(ctx: click.Context, error: Exception) -> NoReturn:
    mask = _mask()
    _fail(ctx, error, f"{describe_unforeseen(error, mask)} ({_where(keep_trace(error, TRACES, mask))})")


def _fail(ctx: click.Context, error: BaseException, told: str) -> NoReturn:
    if ctx.obj:
        say(*_trace(error, _mask()).splitlines(), err=True)
    say(f"error: {told}", err=True)
    ctx.exit(1)


def _no_temporary_folder(error: Exception) -> Refused | None:
    """Return what to tell where a package found no folder for temporary files, as in a container that is read-only."""
    if not isinstance(error, FileNotFoundError) or error.filename is not None:
        return None
    try:
        tempfile.gettempdir()
    except FileNotFoundError as missing:
        message = (
            f"expected a folder for temporary files, but: {missing.strerror}; set TMPDIR to one that can be written, "
            "or mount one at /tmp (deploy/OPERATIONS.md#in-containers)"
        )
        return Refused(message)
    return None


def _mask() -> SecretMask:
    # Its import reads settings, which only a command that fails can afford.
    from undertow.wiring.command_secrets import mask_of_command

    return mask_of_command()


def _mask_line(text: str) -> str:
    return _mask()(text)


def describe_unforeseen(error: Exception, mask: MaskText = mask_patterns) -> str:
    """Return one line about an unforeseen error."""
    if isinstance(error, OSError) and error.filename is not None:
        return one_line(mask(f"{os.fsdecode(error.filename)}: {error.strerror}"))
    return one_line(mask(f"{type(error).__name__}: {error}"))


def keep_trace(error: Exception, folder: Path, mask: MaskText = mask_patterns) -> Path | None:
    """Write the traceback to a private file, and delete the oldest ones; return None if it cannot be written."""
    at = time.time()
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(at))}.{int(at % 1 * 1e6):06d}Z-{os.getpid()}.txt"
    head = f"undertow {version('undertow')}, Python {sys.version.split()[0]}, undertow {' '.join(sys.argv[1:2])}\n"
    try:
        make_folder(folder)
        # Written in place, not atomically: nobody waits for this file, and half a traceback is better than none.
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", errors="replace") as f:
            f.write(head + _trace(error, mask))
        for old in sorted(folder.glob("*.txt"))[:-KEPT]:
            with suppress(FileNotFoundError):  # another command has deleted it
                old.unlink()
    except OSError:
        return None
    return folder / name


def _trace(error: BaseException, mask: MaskText) -> str:
    return mask("".join(traceback.format_exception(error)))


def _where(trace: Path | None) -> str:
    shown = "undertow --debug COMMAND shows it"
    return f"unforeseen; its trace is in {trace}, and {shown}" if trace else f"unforeseen; {shown[:-3]} its trace"
