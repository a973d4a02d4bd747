"""Which build of Undertow this process runs, and what of it may go to another process.

In: the sources of this installation. Out: an id, and a wrapper that a process of another build refuses to open. Knows
nothing of what it wraps.

Ray carries our dataclasses by the position of their fields, so two builds may take each other's for something else
without an error. A stamp is read first, and where it is foreign nothing behind it is.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Generic, TypeVar

from undertow import schemas
from undertow.core.errors import Refused

T = TypeVar("T")


def _build() -> str:
    """Version and sources: two checkouts of one version may differ."""
    digest = hashlib.sha256()
    for root in (Path(__file__).parents[1], Path(next(iter(schemas.__path__)))):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version('undertow')}+{digest.hexdigest()[:8]}"


BUILD = _build()
"""Of this process, which goes on with what it has imported whatever becomes of the files."""


class Stamp:
    """The build of the process that has written it. It cannot be read in another one."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Travel as a call, which is made before anything behind it is read."""
        return accept, (BUILD,)


def accept(build: str) -> Stamp:
    """Return the stamp of our own build. Raises `Refused` for another's. Its name and place never change."""
    if build != BUILD:
        raise Refused(foreign(build))
    return Stamp()


def foreign(build: str) -> str:
    """Say that a process runs another build than the one it has to do with."""
    return (
        f"expected one build of Undertow in all processes, found {build} there and {BUILD} here: install the same on "
        "all nodes. A fleet of any build is ended by: undertow drain"
    )


@dataclass(frozen=True)
class Stamped(Generic[T]):
    """Plain data for a process of the same build. Without slots, so that its fields travel by name, in their order."""

    stamp: Stamp
    value: T


def stamped(value: T) -> Stamped[T]:
    """Return it with our stamp before it."""
    return Stamped(Stamp(), value)
