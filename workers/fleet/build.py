"""The build id of this process, and messages that only a process of the same build can unpickle.

In: the sources of this installation. Out: an id, and a wrapper that a process of another build rejects. Knows nothing
of what it wraps.

Ray pickles our dataclasses by the position of their fields, so a process of another build could misread them without an
error. The stamp is unpickled first; where it is foreign, nothing after it is.
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
    """Identify version and sources: two checkouts of one version may differ."""
    digest = hashlib.sha256()
    for root in (Path(__file__).parents[1], Path(next(iter(schemas.__path__)))):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version('undertow')}+{digest.hexdigest()[:8]}"


BUILD = _build()
"""Of this process, computed once: changes of the files do not change what is imported."""


class Stamp:
    """The build id of the sender. A process of another build cannot unpickle it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Pickle as a call, which is made before anything after it is unpickled."""
        return accept, (BUILD,)


def accept(build: str) -> Stamp:
    """Return the stamp of our own build. Raises `Refused` for another's. Its name and module never change."""
    if build != BUILD:
        raise Refused(foreign(build))
    return Stamp()


def foreign(build: str) -> str:
    """Return the message that a process runs another build than the one it talks to."""
    return (
        f"expected one build of Undertow in all processes, found {build} there and {BUILD} here: install the same on "
        "all nodes. A fleet of any build is ended by: undertow drain"
    )


@dataclass(frozen=True)
class Stamped(Generic[T]):
    """Plain data for a process of the same build. Without slots, so that fields are pickled by name, in order."""

    stamp: Stamp
    value: T


def stamped(value: T) -> Stamped[T]:
    """Return the value with our stamp before it."""
    return Stamped(Stamp(), value)
