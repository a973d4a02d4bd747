"""The input contract: what a window must contain so that an artifact can embed it.

In: nothing. Out: `InputContract` and its JSON form, part of each artifact. Knows nothing of models.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

IdType = Literal["string", "integer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdColumn:
    """One id of a series: a join key in Feast."""

    name: str
    type: IdType


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the past, the future or the static part."""

    name: str
    categories: tuple[str, ...] | None = None
    """None for a column of numbers; otherwise the categories that the model knows, as strings."""
    accepts_unknown: bool = False
    """Whether another category, or null, is embedded as the unknown class; otherwise it is a reject."""

    @property
    def is_real(self) -> bool:
        """Whether the column holds numbers."""
        return self.categories is None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContract:
    """What a window must contain. Other columns are ignored and counted."""

    series: tuple[IdColumn, ...]
    past: tuple[Column, ...]
    future: tuple[Column, ...] = ()
    static: tuple[Column, ...] = ()
    min_length: int
    """The fewest steps of the past: at least 1 for the encoder, and before it the longest lag."""
    max_length: int
    """The most steps of the past."""
    horizon: int = 0
    """The number of decoder steps in every `future` column; 0 if there is none."""
    allows_gaps: bool = False
    """Whether steps between the first and the last may be missing (null in every column of the past). Omitted from the
    JSON form if false."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        data = asdict(self)
        if not self.allows_gaps:
            del data["allows_gaps"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "InputContract":
        """Read what `to_json` wrote."""

        def columns(key: str) -> tuple[Column, ...]:
            return tuple(
                Column(
                    name=column["name"],
                    categories=None if column["categories"] is None else tuple(column["categories"]),
                    accepts_unknown=column["accepts_unknown"],
                )
                for column in data[key]
            )

        return cls(
            series=tuple(IdColumn(name=column["name"], type=column["type"]) for column in data["series"]),
            past=columns("past"),
            future=columns("future"),
            static=columns("static"),
            min_length=data["min_length"],
            max_length=data["max_length"],
            horizon=data["horizon"],
            allows_gaps=data.get("allows_gaps", False),
        )
