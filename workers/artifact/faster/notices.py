"""What is told when a model does not run as fast as it could: one line at each start, the whole of it on demand.

In: a line and what is behind it. Out: a warning of Python's own logging; or all of them, for `undertow describe`. Knows
no model.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = logging.getLogger("undertow.artifact")


def tell(log: logging.Logger, line: str, whole: str = "") -> None:
    """Warn by one line. `whole`, which may be long, is kept for who asks."""
    log.warning("%s", line + (" (the whole of it: undertow describe)" if whole else ""), extra={"whole": whole})


def tell_error(log: logging.Logger, line: str, error: Exception) -> None:
    """Warn of an error by one line, with its stack for who asks."""
    tell(log, f"{line}: {in_short(error)}", "".join(traceback.format_exception(error)).rstrip())


def in_short(error: Exception) -> str:
    """Return the first line of an error."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        whole = getattr(record, "whole", "")
        self.kept.append(record.getMessage() + (f"\n{whole}" if whole else ""))


@contextmanager
def kept() -> Iterator[list[str]]:
    """Collect all that is told meanwhile, whole, in the place of showing it."""
    keeper, before = _Keeper(), ROOM.propagate
    ROOM.addHandler(keeper)
    ROOM.propagate = False
    try:
        yield keeper.kept
    finally:
        ROOM.removeHandler(keeper)
        ROOM.propagate = before
