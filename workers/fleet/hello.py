"""What an actor of a fleet says to a process of any build: which build it is itself, and how far it has come.

In: plain values. Out: a mapping of plain values, and what one of any build is read as. Keys may be added; none is ever
renamed, taken away or given another meaning. Knows neither Ray nor statuses.
"""

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from undertow.fleet.build import BUILD

UNKNOWN = "an older build"


@dataclass(frozen=True, kw_only=True)
class Hello:
    """One actor at one moment."""

    build: str = UNKNOWN
    state: str = "starting"
    message: str = ""
    """Of a fleet: why it failed or is blocked."""
    windows: int = 0
    rejects: int = 0
    host: str = ""
    ray_node: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether its other answers can be read here."""
        return self.build == BUILD


def say_hello(**values: Any) -> dict[str, Any]:
    """Return what an actor of this process says."""
    return asdict(Hello(build=BUILD, host=socket.gethostname(), **values))


def hear(said: Mapping[str, Any]) -> Hello:
    """Read what one of any build says."""
    known = {field.name for field in fields(Hello)}
    return Hello(**{key: value for key, value in said.items() if key in known})
