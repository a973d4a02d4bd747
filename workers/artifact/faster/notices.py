"""Warnings that a model does not run as fast as it could: one line at each start, details on demand.

In: a line and its details. Out: a warning through Python's logging; or all of them collected, for `undertow describe`.
Knows no model.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = logging.getLogger("undertow.artifact")


def tell(log: logging.Logger, line: str, whole: str = "") -> None:
    """Warn by one line. The details in `whole` may be long; `undertow describe` shows them."""
    log.warning("%s", line + (" (the whole of it: undertow describe)" if whole else ""), extra={"whole": whole})


def tell_error(log: logging.Logger, line: str, error: Exception) -> None:
    """Warn of an error by one line, with its traceback as the details."""
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
    """Collect the warnings raised meanwhile, with their details, instead of logging them."""
    keeper, before = _Keeper(), ROOM.propagate
    ROOM.addHandler(keeper)
    ROOM.propagate = False
    try:
        yield keeper.kept
    finally:
        ROOM.removeHandler(keeper)
        ROOM.propagate = before
