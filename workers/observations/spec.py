"""What a person says of their observations: the grid, how cells are filled, where windows end.

In: what is written in Python, or in the section `windows` of the settings. Out: a `WindowSpec` whose every value was
checked by itself. Knows no model: `undertow.observations.plan` holds it against one.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from undertow.core.durations import parse_microseconds, show_microseconds
from undertow.core.errors import Refused
from undertow.observations.calendar_columns import require_calendar
from undertow.observations.fills import Fill, parse_fill
from undertow.observations.local_times import FOLDS, require_zone
from undertow.schemas.times import format_time, parse_time

ALIGNS = ("nearest", "until")
COMBINES = ("last", "mean", "sum", "min", "max")
ENDS = ("observation", "grid")
OTHERS = "*"
"""The key of `combine` and `fill` for columns that have none of their own."""
_DURATION: tuple[Any, str] = (str, "a duration as a text, such as '15m' or '1h'")
_TEXT: tuple[Any, str] = (str, "a text")
_COUNT: tuple[Any, str] = (int, "a whole number")
_KINDS: Mapping[str, tuple[Any, str]] = {
    "every": _DURATION,
    "tolerance": _DURATION,
    "lateness": _DURATION,
    "max_gap": ((str, int), "a duration as a text, or a whole number"),
    **dict.fromkeys(("time", "origin", "align", "created", "on", "zone", "fold"), _TEXT),
    **dict.fromkeys(("stride", "min_length", "max_length"), _COUNT),
    "combine": ((str, Mapping), f"one of {', '.join(COMBINES)}, or a dictionary of these by column"),
    "fill": ((str, int, float, Mapping), "a text or a number, or a dictionary of these by column"),
    "calendar": (Mapping, "a dictionary of texts by column, such as {'hour': 'hour'}"),
}
"""By key, the types that it may have, and their words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpec:
    """How observations become windows: the section `windows` of the settings has the same keys.

    An observation is a row: the ids of its series, a time, values. Grid points are `origin` plus multiples of `every`;
    the observations of a series that belong to one grid point are its *cell*. What comes out depends on the set of
    observations alone, never on the order in which they came. Raises `Refused` for values that cannot be meant.
    """

    every: str
    """The distance of grid points, such as `20ms`, `15m`, `1h` or `1d`: days have 24 hours."""
    time: str = "event_timestamp"
    """The column with the time: a timestamp with a zone, or integer microseconds since the epoch, UTC. With `zone`, a
    timestamp without one is local time there."""
    origin: str = ""
    """A grid point, in ISO 8601 with a zone; empty means 1970-01-01T00:00Z."""
    align: str = "nearest"
    """`nearest`: an observation belongs to the nearest grid point, of two to the earlier, and is a fault if that is
    further than `tolerance`. `until`: the cell of a grid point has what was observed after the one before, up to and
    including its own time, so a window holds nothing that is later than its end."""
    tolerance: str = "0"
    """With `nearest`, how far an observation may be from its grid point; at most half of `every`."""
    combine: str | Mapping[str, str] = "last"
    """How several numbers of one cell become one: `last`, `mean`, `sum`, `min` or `max`, for all columns or by column
    (`*` for the others). Nulls and NaN are left out. `last` is the newest by time; of equal times the one with the
    greatest `created`, then the greatest number, or text. A column of categories takes `last` only."""
    created: str = ""
    """A column (a time or a number) that says which of several observations of one time is the newest."""
    fill: str | float | Mapping[str, str | float] = "none"
    """What becomes of a hole, a grid point between observations at which a column has no value, for all columns or by
    column (`*` for the others). `none`: no window reaches across. `forward`: the value before. A number, or
    `constant:TEXT`: that. `null`: the step is missing whole, if the model takes gaps; never the first or last."""
    max_gap: str | int = 0
    """The most holes in a row that are filled, as a duration or a number of steps; a later one stays a hole. Needed
    where `fill` is not `none`."""
    on: str = "observation"
    """Where windows end: `observation` at each cell in which something was observed, `grid` also at filled ones."""
    stride: int = 1
    """Windows end only at each so many-th grid point, counted from `origin`."""
    lateness: str = "0"
    """In a stream, by how much the newest event time of a series may be ahead of an observation that is still taken; a
    cell is closed, and its window made, once something has been seen that much after it. Tables need none."""
    min_length: int = 0
    """The fewest steps of a window; 0 means the model's own."""
    max_length: int = 0
    """The most steps of a window; 0 means the model's own."""
    calendar: Mapping[str, str] = field(default_factory=dict)
    """Columns that follow from the time of the grid point, in `zone`, by name: hour, minute, day_of_week (Monday is 0),
    day_of_month, day_of_year, week (ISO), month, quarter, is_weekend, `holiday:DE` (a country, or `holiday:DE-BY`), and
    index, which counts grid points from `origin`. They are never holes, and are known ahead."""
    zone: str = ""
    """The zone of `calendar`, and of times that have none, such as `Europe/Berlin`; empty means UTC, and that times
    without a zone are refused."""
    fold: str = "refuse"
    """What a local time means that there is twice, at the end of summer time: `earlier`, `later`, or `refuse`, which
    makes it a fault. A local time that there is not is always one."""

    def __new__(cls, **given: object) -> Self:
        """Refuse keys that there are not, before Python does without saying which is meant."""
        names = [one.name for one in fields(cls)]
        if alien := [key for key in given if key not in names]:
            close = difflib.get_close_matches(alien[0].lower(), names, n=1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
            message = f"expected the keys of undertow.WindowSpec, found {alien[0]}: {meant}"
            raise Refused(message)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        self._require_kinds()
        if self.every_us <= 0:
            raise Refused(_sentence("every", "a duration above 0", self.every))
        for key, value, words in (
            ("align", self.align, ALIGNS),
            ("on", self.on, ENDS),
            ("fold", self.fold, FOLDS),
            *(("combine", rule, COMBINES) for rule in _each(self.combine)),
        ):
            if value not in words:
                raise Refused(_sentence(key, f"one of {', '.join(words)}", value))
        if 2 * self.tolerance_us > self.every_us:
            raise Refused(_sentence("tolerance", f"at most half of every ({self.every})", self.tolerance))
        if self.tolerance_us and self.align != "nearest":
            raise Refused(_sentence("tolerance", "0, since align = until takes every time", self.tolerance))
        for key, number, least in (("stride", self.stride, 1), ("min_length", self.min_length, 0)):
            if number < least:
                raise Refused(_sentence(key, f"at least {least}", number))
        if self.max_length < 0 or 0 < self.max_length < self.min_length:
            raise Refused(_sentence("max_length", "0, or at least min_length", self.max_length))
        self._require_fills()
        _ = self.origin_us, self.lateness_us
        require_zone(self.zone)
        for kind in self.calendar.values():
            require_calendar(kind)

    @property
    def every_us(self) -> int:
        """The distance of grid points in microseconds."""
        return _duration("every", self.every)

    @property
    def tolerance_us(self) -> int:
        """The tolerance in microseconds."""
        return _duration("tolerance", self.tolerance)

    @property
    def lateness_us(self) -> int:
        """The lateness in microseconds."""
        return _duration("lateness", self.lateness)

    @property
    def origin_us(self) -> int:
        """A grid point, in microseconds since the epoch, UTC."""
        try:
            return parse_time(self.origin) if self.origin else 0
        except ValueError as error:
            raise Refused(_sentence("origin", "a time as 2026-01-01T00:00Z", f"{self.origin}: {error}")) from None

    @property
    def max_gap_steps(self) -> int:
        """The most holes in a row that are filled."""
        if isinstance(self.max_gap, int) or self.max_gap.isdecimal():  # a variable of the environment is a text
            return int(self.max_gap)
        return _duration("max_gap", self.max_gap) // self.every_us

    @property
    def meaning(self) -> dict[str, Any]:
        """All of it by key, as JSON takes it, durations and times in one form: equal where the same is meant."""
        said = {name: getattr(self, name) for name in self.__slots__}
        said |= {name: dict(value) for name, value in said.items() if isinstance(value, Mapping)}
        for name in ("every", "tolerance", "lateness"):
            said[name] = show_microseconds(_duration(name, said[name]))
        return said | {"origin": format_time(self.origin_us), "max_gap": self.max_gap_steps}

    def combine_of(self, column: str) -> str:
        """Return how the values of a cell become one."""
        if isinstance(self.combine, str):
            return self.combine
        return self.combine.get(column, self.combine.get(OTHERS, "last"))

    def fill_of(self, column: str) -> Fill:
        """Return what becomes of a column's holes."""
        if not isinstance(self.fill, Mapping):
            return parse_fill(self.fill)
        return parse_fill(self.fill.get(column, self.fill.get(OTHERS, "none")))

    def _require_kinds(self) -> None:
        for key, (kinds, words) in _KINDS.items():
            value = getattr(self, key)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise Refused(_sentence(key, words, value))
        if not all(isinstance(kind, str) for kind in self.calendar.values()):
            raise Refused(_sentence("calendar", _KINDS["calendar"][1], self.calendar))

    def _require_fills(self) -> None:
        fills = [parse_fill(given) for given in _each(self.fill)]
        if self.max_gap_steps < 0:
            raise Refused(_sentence("max_gap", "at least 0", self.max_gap))
        if any(fill.kind != "none" for fill in fills) and not self.max_gap_steps:
            raise Refused(
                _sentence("max_gap", f"at least one step of {self.every}, since fill has holes filled", self.max_gap)
            )


WindowSpec.__new__.__wrapped__ = WindowSpec.__init__  # type: ignore[attr-defined]  # notebooks show its parameters


def _each(given: Any) -> list[Any]:
    return list(given.values()) if isinstance(given, Mapping) else [given]


def _duration(key: str, text: str) -> int:
    try:
        return parse_microseconds(text)
    except ValueError as error:
        message = f"windows.{key}: {error}"
        raise Refused(message) from None


def _sentence(key: str, expected: str, found: object) -> str:
    return f"windows.{key}: expected {expected}, found {found!r}"
