"""The public description of a space: what Feast must know of an artifact's embeddings.

In: plain values. Out: `SpaceView`, and its JSON form in `feature_repo/spaces/<view>.json`. Knows neither Feast nor
models.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from undertow.schemas.contract import IdColumn

Facts = Mapping[str, Mapping[str, Any]]
"""By feature, plain JSON data by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceView:
    """One Feast view: the embeddings of one space."""

    name: str
    """The stable name that readers use: the FeatureService."""
    space: str
    """The full identity of the vector space (64 hex digits)."""
    series: tuple[IdColumn, ...]
    """Id columns, in the artifact's order: one Feast join key each."""
    features: tuple[tuple[str, int], ...]
    """Feature names with their number of dimensions, in the artifact's order."""
    description: str = ""
    """For people: model, tap and pooling."""
    facts: Facts = field(default_factory=dict)
    """Of features, what people should know of their numbers, such as how much a PCA explains."""
    ttl_seconds: int | None = None
    """How long after its event time a vector is found by Feast's point-in-time joins; 0 for ever, None not decided."""

    @property
    def view(self) -> str:
        """Name of the Feast view: a retrained model never shares one with its predecessor."""
        return f"{self.name}__{self.space[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SpaceView":
        """Read what `to_json` wrote."""
        return cls(
            name=data["name"],
            space=data["space"],
            series=tuple(IdColumn(name=column["name"], type=column["type"]) for column in data["series"]),
            features=tuple((name, int(size)) for name, size in data["features"]),
            description=data["description"],
            facts=data.get("facts", {}),  # an earlier version wrote none
            ttl_seconds=data.get("ttl_seconds"),
        )
