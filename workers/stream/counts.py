"""The counters of a stream: each is one field here, from which statuses, JSON and metrics are derived.

In: what the loop adds. Out: frozen totals that any thread may read and that add up. Knows no stream and no exporter.

A new counter is one line of `Counts`, and a line where it is counted: `Accumulator.add` takes what `Counts` has.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.records import REASONS
from undertow.stream import histogram

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How a counter is shown to those who collect metrics; one without is in the status alone."""

    unit: str
    meaning: str
    name: str = ""
    """Of the metric, where it is not the field's."""
    label: str = ""
    """By which the metric is divided: the keys of a mapping, `le` of a histogram, or `value` of a number."""
    values: tuple[str, ...] = ()
    """Of the label, which are shown from 0 on; a number has one."""


def shown(
    unit: str, meaning: str, *, name: str = "", label: str = "", values: Iterable[str] = ()
) -> Mapping[str, Shown]:
    """Return the metadata of a counter's field; see `Shown`."""
    return {"shown": Shown(unit=unit, meaning=meaning, name=name, label=label, values=tuple(values))}


def stage(value: str) -> Mapping[str, Shown]:
    """Return the metadata of the seconds that a stage of the loop took: they have one metric."""
    meaning = "in poll, embed, write, checkpoint"
    return shown("seconds", meaning, name="stage_seconds", label="stage", values=[value])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """What one stream has counted since it began, or the sum over several. `Counts()` is zero."""

    records: int = field(default=0, metadata=shown("records", "read, the refused ones too"))
    windows: int = field(default=0, metadata=shown("windows", "embedded and readable in the online store"))
    rejects: Mapping[str, int] = field(
        default_factory=dict, metadata=shown("records", "put among the dead letters", label="reason", values=REASONS)
    )
    last_reject: Mapping[str, str] = field(default_factory=dict)
    """The place of the last reject of each reason, as topic-partition@offset."""
    ignored_columns: int = 0
    lost: int = field(default=0, metadata=shown("offsets", "deleted by retention before they were read"))
    """Skipped offsets, too."""
    store_losses: int = field(default=0, metadata=shown("losses", "of the online store's data, by who saw it first"))
    odd_times: int = field(default=0, metadata=shown("windows", "taken though before 1990 or after next year"))
    clock_ahead: int = field(default=0, metadata=shown("windows", "readable before their record's timestamp"))
    """The clock that stamps records is ahead of ours."""
    offsets: int = 0
    """Offsets read from the source."""
    batches: Mapping[int, int] = field(
        default_factory=dict,
        metadata=shown("batches", "with at most `le` windows", name="batch_windows_bucket", label="le"),
    )
    """By n, a power of two, the number of deliveries with more than n / 2 and at most n windows."""
    poll_s: float = field(default=0.0, metadata=stage("poll"))
    """Includes the wait for records."""
    embed_s: float = field(default=0.0, metadata=stage("embed"))
    write_s: float = field(default=0.0, metadata=stage("write"))
    checkpoint_s: float = field(default=0.0, metadata=stage("checkpoint"))
    """From the start of a checkpoint until it was durable; the loop continues meanwhile."""
    latency: NDArray[np.int64] = field(
        default_factory=histogram.empty,
        metadata=shown("windows", "readable within `le` s", name="latency_seconds_bucket", label="le"),
    )
    """End-to-end, from Kafka's timestamp of the record to the return of the online write, in `histogram`'s buckets."""
    checkpoints: int = field(default=0, metadata=shown("checkpoints", "written"))
    retries: int = field(default=0, metadata=shown("attempts", "of a store or broker that did not answer"))

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum of each field; of the places of rejects those of the left one."""
        return Counts(**{one.name: _plus(getattr(self, one.name), getattr(other, one.name)) for one in fields(Counts)})


def _with_parameters_of(
    _source: Callable[P, object],
) -> Callable[[Callable[..., T]], Callable[Concatenate[Any, P], T]]:
    """Have the type checker hold a method's keywords to those of `_source`, which need not be typed again."""
    return lambda function: function


class Accumulator:
    """Adds up what one stream counts. Each field has one thread that adds to it; any thread may ask for the total."""

    def __init__(self) -> None:
        """Start from zero."""
        zero = Counts()
        self._now: dict[str, Any] = {one.name: getattr(zero, one.name) for one in fields(Counts)}

    @_with_parameters_of(Counts)
    def add(self, **more: Any) -> None:
        """Add to the fields of `Counts` that are named. In place: a frozen sum would cost 20 us a batch, this 2."""
        now = self._now
        for name, value in more.items():
            if isinstance(value, dict):
                there = now[name]
                for key, count in value.items():
                    there[key] = count if isinstance(count, str) else there.get(key, 0) + count
            else:
                now[name] += value

    def total(self) -> Counts:
        """Return what has been counted so far; it does not change any more."""
        return Counts(**{name: copy.copy(value) for name, value in self._now.items()})


def batch_of(windows: int) -> dict[int, int]:
    """Return the `batches` of one delivery: the smallest power of two that is at least its number of windows."""
    return {1 << max(0, windows - 1).bit_length(): 1}


def _plus(one: Any, other: Any) -> Any:
    if not isinstance(one, Mapping):
        return one + other
    both = {key: one[key] if isinstance(one[key], str) else one[key] + other[key] for key in one if key in other}
    return {**one, **other, **both}
