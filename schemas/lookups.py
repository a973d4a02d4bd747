"""A look-up in an online store, as plain data: what a reader asks in one round trip, and what the store says.

In: nothing, or the rows of a table. Out: `Question`, `Answer`. Knows no store, and nothing of what a vector means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.served import ServedSpace

StoredRow = tuple[int, dict[str, bytes]]
"""A series' event time, in microseconds since the epoch, UTC, and its values by feature."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What one round trip asks for."""

    lists: bool = False
    """Whether the names of all records of what is served are wanted."""
    record: str = ""
    """The record of what is served that is wanted, by `record_name`; empty for none."""
    project: str = ""
    space: ServedSpace | None = None
    """The space of the vectors; None where none are asked for."""
    features: tuple[str, ...] = ()
    keys: Sequence[bytes] = ()
    """Feast's entity keys, each once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a store says of a `Question`."""

    names: tuple[str, ...] = ()
    record: str | None = None
    """None where there is no such record, or none was asked for."""
    found: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """(k,) whether the store has the series of each key, with all features."""
    event_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(found.sum(),) event times: microseconds since the epoch, UTC."""
    values: Sequence[Sequence[bytes]] = ()
    """For each feature, the values of the series that were found, as Feast serializes them."""


def answer_of_rows(question: Question, records: Mapping[str, str], rows: Mapping[bytes, StoredRow]) -> Answer:
    """Return what a table says, by its records of what is served, and its rows by key."""
    wanted = [rows.get(key) for key in question.keys]
    found = [row if row is not None and all(row[1].get(name) for name in question.features) else None for row in wanted]
    there = [row for row in found if row is not None]
    return Answer(
        names=tuple(records),
        record=records.get(question.record),
        found=np.array([row is not None for row in found], np.bool_),
        event_us=np.array([event_us for event_us, _ in there], np.int64),
        values=[[values[name] for _, values in there] for name in question.features],
    )
