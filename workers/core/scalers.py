"""How a real column is centred and scaled: by numbers from training, for the series' group, or from the window itself.

In: numbers, once, when an artifact is packed. Out: frozen data with an exact JSON form. Knows no arithmetic, no window.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Method = Literal["standard", "robust", "identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedScaler:
    """One centre and one scale for all windows (StandardScaler, RobustScaler, MaxAbsScaler, TorchNormalizer...)."""

    center: float = 0.0
    scale: float = 1.0
    transformation: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "kind": "fixed",
            "center": _to_number(self.center),
            "scale": _to_number(self.scale),
            "transformation": self.transformation,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeScaler:
    """One factor and one offset for all windows (MinMaxScaler): multiplied, since dividing would round otherwise."""

    factor: float
    offset: float
    bounds: tuple[float, float] | None = None
    """The range to which scaled numbers are clipped, if any."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        bounds = None if self.bounds is None else list(self.bounds)
        return {"kind": "range", "factor": self.factor, "offset": self.offset, "bounds": bounds}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable:
    """Centre and scale for each combination of some series ids."""

    ids: tuple[tuple[str, str], ...]
    """(series column, name of its encoder) for each element of a key of `norms`."""
    norms: Mapping[tuple[int, ...], tuple[float, float]]
    """(centre, scale) by the codes of the ids."""
    missing: tuple[float, float]
    """(centre, scale) for codes that are not in `norms`."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`; the norms become a list, since JSON has no tuples as keys."""
        return {
            "ids": [list(pair) for pair in self.ids],
            "norms": [[list(codes), *map(_to_number, norm)] for codes, norm in self.norms.items()],
            "missing": [_to_number(value) for value in self.missing],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GroupTable":
        """Read what `to_json` wrote."""
        return cls(
            ids=tuple((column, encoder) for column, encoder in data["ids"]),
            norms={tuple(codes): (_from_number(center), _from_number(scale)) for codes, center, scale in data["norms"]},
            missing=(_from_number(data["missing"][0]), _from_number(data["missing"][1])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupScaler:
    """A GroupNormalizer with groups: the geometric mean of its tables' norms (usually there is one table)."""

    tables: tuple[GroupTable, ...]
    transformation: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "kind": "group",
            "tables": [table.to_json() for table in self.tables],
            "transformation": self.transformation,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowScaler:
    """An EncoderNormalizer: centre and scale are computed from the window's own encoder steps, in float32."""

    method: Method
    center: bool = True
    """Whether values are centred; the scale is the same either way."""
    center_steps: int | None = None
    """From how many of the last steps the centre is computed; None for all."""
    scale_steps: int | None = None
    """From how many of the last steps the scale is computed; None for all."""
    quantiles: tuple[float, float, float] = (0.25, 0.5, 0.75)
    """Lower, middle and upper quantile of the robust method."""
    transformation: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json`."""
        return {
            "kind": "window",
            "method": self.method,
            "center": self.center,
            "center_steps": self.center_steps,
            "scale_steps": self.scale_steps,
            "quantiles": list(self.quantiles),
            "transformation": self.transformation,
        }


Scaler = FixedScaler | GroupScaler | RangeScaler | WindowScaler
NormScaler = FixedScaler | GroupScaler | WindowScaler
"""The scalers that a target may have: those with a centre and a scale."""


def scaler_from_json(data: Mapping[str, Any]) -> Scaler:
    """Read what a scaler's `to_json` wrote."""
    if data["kind"] == "range":
        bounds = data["bounds"]
        return RangeScaler(
            factor=data["factor"], offset=data["offset"], bounds=None if bounds is None else (bounds[0], bounds[1])
        )
    return norm_from_json(data)


def norm_from_json(data: Mapping[str, Any]) -> NormScaler:
    """Read what the `to_json` of a scaler of `NormScaler` wrote."""
    if data["kind"] == "fixed":
        return FixedScaler(
            center=_from_number(data["center"]),
            scale=_from_number(data["scale"]),
            transformation=data["transformation"],
        )
    if data["kind"] == "group":
        return GroupScaler(
            tables=tuple(GroupTable.from_json(table) for table in data["tables"]),
            transformation=data["transformation"],
        )
    lower, center, upper = data["quantiles"]
    return WindowScaler(
        method=data["method"],
        center=data["center"],
        center_steps=data["center_steps"],
        scale_steps=data["scale_steps"],
        quantiles=(lower, center, upper),
        transformation=data["transformation"],
    )


def _to_number(value: float) -> float | None:
    # A group with one observation has no standard deviation, and JSON has no NaN.
    return None if math.isnan(value) else value


def _from_number(value: float | None) -> float:
    return math.nan if value is None else float(value)
