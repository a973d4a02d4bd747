"""Standard output and standard error of a command: whatever is printed goes through here.

In: lines, bytes, and what rich or click write to `sys.stdout`. Out: the same, of letters that the terminal has and that
do not steer it; an `OutputError` where it cannot be written. Knows no command.
"""

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO, cast

from undertow.core.readable import readable

LEAST_WIDTH, MOST_WIDTH = 40, 1000
"""Columns. Narrower, a table holds no word; wider, rules and bars become lines that no terminal shows. A choice."""
PLAIN = "undertow.plain"
"""The name of our way to encode what an encoding lacks."""
_PLAINER = {
    "·": "|",
    "\N{MULTIPLICATION SIGN}": "x",
    "→": "->",
    "\N{EN DASH}": "-",
    "—": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "✓": "ok",
    "µ": "u",
    "─": "-",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "│": "|",
    "\N{REPLACEMENT CHARACTER}": "?",
}
"""What we print ourselves, beside the tables' borders, for which rich has letters of ASCII of its own."""


class OutputError(OSError):
    """Standard output cannot be written: the disk is full, or it is closed."""


class GuardedStream:
    """A stream whose failed writes raise `OutputError`, or `BrokenPipeError` where the reader of a pipe has left."""

    def __init__(self, stream: Any) -> None:
        """Take a text stream or its buffer."""
        self._stream = stream

    def write(self, data: Any) -> int:
        """Write text or bytes, as the stream takes."""
        try:
            return int(self._stream.write(data))
        except OSError as error:
            _told(error)

    def flush(self) -> None:
        """Write what waits in buffers."""
        try:
            self._stream.flush()
        except OSError as error:
            _told(error)

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the stream has."""
        found = getattr(self._stream, name)
        return GuardedStream(found) if name == "buffer" else found


def say(*lines: str, err: bool = False) -> None:
    """Print each text as one line; what would steer the terminal, or begin another line, is shown escaped."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:  # closed: of standard output, `guarded_output` has made a stream that raises
        stream.write("".join(f"{readable(line)}\n" for line in lines))
        stream.flush()


def say_bytes(content: bytes) -> None:
    """Write bytes to standard output, and nothing else."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Run a command, and end it with one line and exit code 1 where its output cannot be written.

    Where the reader of a pipe has left, such as `head`, it ends with 1 silently. Sizes of the terminal in the
    environment that cannot be meant are mended, too.
    """
    _occupy_closed()
    _mend_size("COLUMNS", LEAST_WIDTH, MOST_WIDTH)
    _mend_size("LINES", 1, MOST_WIDTH)
    before = sys.stdout
    # Where it was closed, descriptor 1 is now one that cannot be written to.
    stream = before or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for one in (stream, sys.stderr):
        if reconfigure := getattr(one, "reconfigure", None):
            reconfigure(errors=PLAIN)
    guard = sys.stdout = cast("TextIO", GuardedStream(stream))
    try:
        try:
            yield
        finally:
            guard.flush()
    except OutputError as error:
        _drop(stream)
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        with contextlib.suppress(OSError):  # then there is nowhere to say it
            say(f"error: expected standard output to take what the command prints, but: {why}", err=True)
        raise SystemExit(1) from None
    except BrokenPipeError:
        _drop(stream)
        raise SystemExit(1) from None
    finally:
        if sys.stdout is guard:
            sys.stdout = before


def _told(error: OSError) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        raise error
    raise OutputError(*error.args) from error


def _drop(stream: TextIO) -> None:
    """Let what waits in the stream's buffers go nowhere, or the interpreter would fail on it at its end."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())


def _occupy_closed() -> None:
    """Open the descriptors 0 to 2 that are closed, or the next file to be opened would get what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest that is free, which is this one; it cannot be written to


def _mend_size(variable: str, least: int, most: int) -> None:
    """Hold a variable that rich, click and shutil read to sane numbers; remove it where it is none."""
    text = os.environ.get(variable, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < len("1000000000") else 0
    if number:
        os.environ[variable] = str(min(max(number, least), most))
    else:
        os.environ.pop(variable, None)


def _plain(error: UnicodeError) -> tuple[str, int]:
    r"""Return what stands for letters that an encoding lacks: of ASCII, or `\u00e9`, which is valid in JSON, too."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plainer, error.object[error.start : error.end])), error.end


def _plainer(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    escaped = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return _PLAINER.get(letter, escaped)


codecs.register_error(PLAIN, _plain)
