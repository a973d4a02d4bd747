"""Fleets' names on this machine: whose Ray session a name leads to, and that one user starts no two of one name.

In: the settings of a fleet. Out: a note with the session's address, and a lock, both in the user's cache; or `Refused`.
Knows nothing of what runs in the session.

Ray itself finds the newest session of the machine, which may be another fleet's or a backfill's.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from undertow.core.errors import Refused
from undertow.core.private_files import cache_folder
from undertow.core.publication import replace_file
from undertow.settings.sections import FleetSettings

log = logging.getLogger(__name__)


@contextlib.contextmanager
def name_taken(settings: FleetSettings) -> Iterator[None]:
    """Within the context, keep other fleets of this user from starting a Ray of their own under this name.

    Their notes would replace ours: `undertow drain` would reach a fleet of another project, and none would reach ours.
    The system lets go of the lock when the process ends, in whatever way. Raises `Refused` where the name is taken. A
    Ray that is joined keeps its names apart itself.
    """
    if settings.address != "local":
        yield
        return
    with _open_lock(settings.name) as file:
        if not _is_locked(file.fileno(), fcntl.LOCK_EX):
            by = _taken_by(settings.name)
            message = (
                f"a fleet named {settings.name!r} runs on this machine already{by}. Drain it first "
                "(undertow drain, there), or set another fleet.name"
            )
            raise Refused(message)
        _note(settings.name).unlink(missing_ok=True)  # of one that was killed
        file.truncate(0)
        file.write(f": process {os.getpid()}, started in {Path.cwd()}")
        file.flush()
        yield


@contextlib.contextmanager
def announced(settings: FleetSettings, address: str) -> Iterator[None]:
    """Within the context, let other processes of this user find the session at `address` by the fleet's name.

    One that was joined leaves the name to a fleet that has taken it: its own commands give its address.
    """
    if settings.address != "local" and _taken_by(settings.name):
        yield
        return
    note = _note(settings.name)
    replace_file(note, address.encode(), is_durable=False)  # the session ends with its machine
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            if note.read_text() == address:  # else a fleet of this name in another session was announced since
                note.unlink()


def announced_address(name: str) -> str:
    """Return the address of the session of the fleet of this name. Raises `Refused` where none is announced."""
    with contextlib.suppress(FileNotFoundError):
        return _note(name).read_text()
    if starting := _taken_by(name):
        message = f"fleet {name!r} is being started{starting}; ask again in some seconds (Ctrl-C there ends it)"
        raise Refused(message)
    raise no_fleet(name)


def no_fleet(name: str) -> Refused:
    """Return the error that no fleet of this name runs."""
    return Refused(f"no fleet named {name!r} runs here: undertow run starts one; see fleet.name, fleet.address")


def _taken_by(name: str) -> str:
    """Return who has taken a name, as `name_taken` wrote it, empty where nobody has."""
    with _open_lock(name) as file:
        if _is_locked(file.fileno(), fcntl.LOCK_SH):
            return ""
        file.seek(0)
        return file.read(4096) or ": by another process"


def _is_locked(file: int, kind: int) -> bool:
    """Lock an open file if nobody else has; return False where somebody has."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        log.warning("the name of the fleet could not be locked in our cache (%s; see XDG_CACHE_HOME)", error)
    return True


def _open_lock(name: str) -> TextIO:
    try:
        return _in_cache("fleet_names", name).open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise _no_cache(error) from error


def _note(name: str) -> Path:
    try:
        return _in_cache("fleets", name)
    except OSError as error:
        raise _no_cache(error) from error


def _in_cache(folder: str, name: str) -> Path:
    path = cache_folder() / folder / quote(name, safe="")
    path.parent.mkdir(exist_ok=True)
    return path


def _no_cache(error: OSError) -> Refused:
    return Refused(f"expected a folder of ours in the user's cache, but: {error} (see XDG_CACHE_HOME, HOME)")
