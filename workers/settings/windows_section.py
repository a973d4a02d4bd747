"""The section `windows` of the settings: how raw observations become windows.

In: values that `undertow.settings.settings` has found. Out: a frozen section, and what it means as a `WindowSpec`.
Knows no rule: what is checked, and how, is said there.
"""

from pydantic import Field, field_validator, model_validator

from undertow.core.durations import parse_microseconds
from undertow.core.errors import Refused
from undertow.observations.spec import WindowSpec
from undertow.settings.broker_names import Topic
from undertow.settings.kafka_security import Section
from undertow.settings.local_paths import LocalPath


class WindowsSettings(Section):
    """How raw observations become windows, in `undertow.windows`, `backfill` and `produce`."""

    every: str = ""
    """The distance of grid points, such as `20ms`, `15m`, `1h` or `1d` (24 hours). Empty: no observations are read."""
    time: str = "event_timestamp"
    """The column with the time of an observation: a timestamp with a zone, or integer microseconds since the epoch,
    UTC; with `zone`, a timestamp without one is local time there."""
    origin: str = ""
    """A grid point, in ISO 8601 with a zone; empty means 1970-01-01T00:00Z. Others are multiples of `every` away."""
    align: str = "nearest"
    """Which observations are the cell of a grid point. `nearest`: those that have no nearer one (of two the earlier),
    within `tolerance`. `until`: those after the grid point before, up to and including its own time, so that a window
    holds nothing that is later than its end."""
    tolerance: str = "0"
    """With `nearest`, how far an observation may be from its grid point, at most half of `every`; one that is further
    off is a fault."""
    combine: str | dict[str, str] = "last"
    """How several numbers of one cell become one: `last`, `mean`, `sum`, `min` or `max`, for all columns, or a table by
    column (`*` for the others). Nulls and NaN are left out. `last` is the newest by time; of equal times the one with
    the greatest `created`, then the greatest value. Categories are always the last."""
    created: str = ""
    """A column, a time or a number, that says which of several observations of one time is the newest."""
    fill: str | float | dict[str, str | float] = "none"
    """What becomes of a hole, a grid point between observations where a column has no value, for all columns, or a
    table by column (`*` for the others). `none`: no window reaches across; `forward`: the value before; a number, or
    `constant:TEXT`: that; `null`: the whole step is missing, if the model takes windows with gaps."""
    max_gap: str | int = 0
    """The most holes in a row that are filled, a duration or a number of steps; needed where `fill` is not `none`."""
    on: str = "observation"
    """Where windows end: `observation` at each grid point where something was observed, `grid` also at filled ones."""
    stride: int = Field(default=1, ge=1)
    """Windows end only at each so many-th grid point, counted from `origin`."""
    lateness: str = "0"
    """In a stream (`kafka.content = "observations"`), by how much the newest event time of a series may be ahead of an
    observation that is still taken; a later one is a dead letter, `late`. A window is made once something has been seen
    that much after its end, so a greater one makes windows come later. Not used for files and frames."""
    min_length: int = Field(default=0, ge=0)
    """The fewest steps of a window; 0 means the model's own."""
    max_length: int = Field(default=0, ge=0)
    """The most steps of a window; 0 means the model's own."""
    calendar: dict[str, str] = Field(default_factory=dict)
    """Columns that follow from the time, in `zone`, by name: `hour`, `minute`, `day_of_week` (Monday is 0),
    `day_of_month`, `day_of_year`, `week`, `month`, `quarter`, `is_weekend`, `holiday:DE` (a country, or a part as
    `holiday:DE-BY`; needs `undertow[observations]`), `index` (the number of the grid point, from `origin`)."""
    zone: str = ""
    """The zone of `calendar`, and of times that have none, such as `Europe/Berlin`. Empty means UTC, and that times
    without a zone are refused."""
    fold: str = "refuse"
    """What a local time means that there is twice, at the end of summer time: `earlier`, `later`, or `refuse`, which
    makes it a fault."""

    known: LocalPath | None = None
    """A Parquet file of what is known ahead, such as a forecast: a row for each grid point, with the column `time`, and
    ids if it differs by series. It must fit into memory. One that another program goes on writing: `known_topic`."""
    known_topic: Topic = ""
    """Instead of `known`, a topic of what is known ahead, in the cluster and the format of `kafka`. A record holds rows
    as of that table, one or several. Of rows of one series and time the newest counts: the one with the greatest
    `created`, if that is set, else the last by the record's own time, partition and offset."""
    known_seconds: float = Field(default=10.0, ge=0)
    """In a stream, how old at most what has been read of `known_topic` may be when windows are made; 0 reads on before
    each batch of observations."""
    known_keep: str = "0"
    """In a stream, how far back rows of `known_topic` are held, by the clock; those of an older time are let go of, and
    windows that need them are not made. Let it be longer than a window, `lateness`, and what a stream may have to
    catch up with, together. 0 holds all."""
    static: LocalPath | None = None
    """A Parquet file with a row for each series: its ids, and static columns. Others are columns of the observations,
    where what earlier ones say of a series holds."""

    held_path: LocalPath | None = None
    """A folder on a disk of the machine, for the last steps of each series that replicas hold of a stream. Without it
    they are held in memory. With it the kernel keeps there what is used, and of the rest what it has room for, so more
    series can be held than fit into memory. What is in it is of no use to others, and ends with the replica."""

    def in_any_folder(self) -> "WindowsSettings":
        """Return the same for a process in another folder."""
        named = {"known": self.known, "static": self.static, "held_path": self.held_path}
        return self.model_copy(update={name: path and path.absolute() for name, path in named.items()})

    @property
    def known_keep_us(self) -> int:
        """`known_keep` in microseconds."""
        return parse_microseconds(self.known_keep)

    def spec(self) -> WindowSpec:
        """Return what the section means. Raises `Refused`."""
        if not self.every:
            message = 'expected how observations become windows, found windows.every not set: every = "1h" in [windows]'
            raise Refused(message)
        return WindowSpec(
            every=self.every,
            time=self.time,
            origin=self.origin,
            align=self.align,
            tolerance=self.tolerance,
            combine=self.combine,
            created=self.created,
            fill=self.fill,
            max_gap=self.max_gap,
            on=self.on,
            stride=self.stride,
            lateness=self.lateness,
            min_length=self.min_length,
            max_length=self.max_length,
            calendar=self.calendar,
            zone=self.zone,
            fold=self.fold,
        )

    @field_validator("every", "tolerance", "lateness", "known_keep", mode="before")
    @classmethod
    def _as_text(cls, given: object) -> object:
        """Take the number 0 for the text, as `undertow settings` shows it."""
        return "0" if given == 0 and type(given) is int else given

    @field_validator("every", "tolerance", "lateness", "known_keep", "max_gap")
    @classmethod
    def _is_duration(cls, given: str | int) -> str | int:
        """Refuse other texts, also where `every` is not set; a number of steps may be a text in the environment."""
        if isinstance(given, str) and given and not given.isdecimal():
            parse_microseconds(given)
        return given

    @model_validator(mode="after")
    def _known_by_one(self) -> "WindowsSettings":
        if self.known is not None and self.known_topic:
            message = (
                "expected what is known ahead in a file (windows.known), or in a topic (windows.known_topic), found "
                f"both: {self.known} and {self.known_topic}"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _can_be_meant(self) -> "WindowsSettings":
        if self.every:
            try:
                self.spec()
            except Refused as error:
                raise ValueError(str(error)) from None
        return self
