"""The public description of a space, from which its Feast view is made.

In: plain values. Out: `SpaceView`, and its JSON form in `feature_repo/spaces/<view>.json`. Knows neither Feast nor
models.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from undertow.schemas.contract import IdColumn

Facts = Mapping[str, Mapping[str, Any]]
"""By feature, facts by name, as plain JSON data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceView:
    """The embeddings of one space, as a Feast view."""

    name: str
    """The stable name that readers use: that of Feast's FeatureService."""
    space: str
    """The full identity of the vector space (64 hex digits)."""
    series: tuple[IdColumn, ...]
    """The id columns, in the artifact's order; each is a join key in Feast."""
    features: tuple[tuple[str, int], ...]
    """(name, number of dimensions) of each feature, in the artifact's order."""
    description: str = ""
    """For people: model, tap and pooling."""
    facts: Facts = field(default_factory=dict)
    """Facts about features for users, such as how much variance a PCA explains."""
    ttl_seconds: int | None = None
    """How old a vector may be in Feast's point-in-time joins; 0 for any age, None if not decided yet."""

    @property
    def view(self) -> str:
        """The name of the Feast view, `<name>__<space8>`: a retrained model never shares one with its predecessor."""
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
            facts=data.get("facts", {}),  # earlier versions wrote none
            ttl_seconds=data.get("ttl_seconds"),
        )
