"""What the readers of a name are served: its spaces, and which is promoted. `apply` writes it beside the vectors.

In: plain values. Out: `Served`, and its text. Knows neither Feast nor a store.

Feast's registry says the same, but only to Feast: it may be a database, it is elsewhere than the vectors, and as a file
it is written in place, so that a reader without Feast's lock could take half of it for all.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from undertow.schemas.contract import IdColumn

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedSpace:
    """One space, as far as a reader must know it."""

    view: str
    """The view's name in Feast."""
    online: str
    """The view's name in the online store: another one where Feast numbers versions."""
    space: str
    """The full identity of the vector space (64 hex digits)."""
    series: tuple[IdColumn, ...]
    features: tuple[tuple[str, int], ...]
    """(name, number of dimensions) of each feature."""
    ttl_seconds: int | None = None
    """How old a vector may be in Feast's point-in-time joins; 0 for any age, None if not decided yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The spaces of one name."""

    name: str
    promoted: str
    """The view that readers of the name get; empty where none is promoted."""
    spaces: tuple[ServedSpace, ...]

    def to_text(self) -> str:
        """Serialize it; equal ones to equal texts."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> "Served":
        """Read what `to_text` wrote. Raises `ValueError` for anything else, also what a later version wrote."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            message = f"expected a record of format {FORMAT}"
            raise ValueError(message)
        try:
            return cls(name=data["name"], promoted=data["promoted"], spaces=tuple(map(_space, data["spaces"])))
        except (KeyError, TypeError) as error:
            message = f"expected a record of format {FORMAT}, found one that lacks a part: {error}"
            raise ValueError(message) from None


def _space(data: Mapping[str, Any]) -> ServedSpace:
    return ServedSpace(
        view=data["view"],
        online=data["online"],
        space=data["space"],
        series=tuple(IdColumn(name=column["name"], type=column["type"]) for column in data["series"]),
        features=tuple((name, int(size)) for name, size in data["features"]),
        ttl_seconds=data["ttl_seconds"],
    )


def record_name(project: str, name: str) -> str:
    """Name the record of a name in a store, which several projects of Feast may share."""
    return f"{project}/{name}"
