"""The handshake between processes of different builds: an actor's build id and state.

In: plain values. Out: a mapping of plain values, and its parsed form. Keys may be added; none is ever renamed, removed
or given another meaning. Knows neither Ray nor statuses.
"""

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from undertow.fleet.build import BUILD

UNKNOWN = "an older build"


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """An actor's build and state."""

    build: str = UNKNOWN
    state: str = "starting"
    message: str = ""
    """Why a fleet failed or is blocked."""
    windows: int = 0
    rejects: int = 0
    waiting: int = 0
    """Observations whose grid points were not closed when they were last counted."""
    waiting_series: int = 0
    host: str = ""
    ray_node: str = ""
    serves: tuple[str, ...] = ()
    """Of a controller: the views of its artifacts, `<name>__<space8>`; none of an older build, as below."""
    topic: str = ""
    bootstrap: str = ""
    log: str = ""
    """The folder of its offline log; empty where it writes none."""

    @property
    def is_ours(self) -> bool:
        """Whether it is of our build, so that its other answers can be read."""
        return self.build == BUILD


def say_hello(**values: Any) -> dict[str, Any]:
    """Return the handshake of this process, with these values."""
    return asdict(Handshake(build=BUILD, host=socket.gethostname(), **values))


def hear(said: Mapping[str, Any]) -> Handshake:
    """Parse the handshake of an actor of any build."""
    known = {field.name for field in fields(Handshake)}
    return Handshake(**{key: value for key, value in said.items() if key in known})
