"""Sinks in memory, for tests: an online store, an offline log, dead letters.

In: what the real ones take, and scripted failures. Out: the same effects, for a test to inspect. Knows no store.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from undertow.adapters.memory_source import Script, play
from undertow.core.errors import Replaced, Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition, Reject
from undertow.stream.ports import ChainPart
from undertow.stream.record_marks import ChainEnd

SeriesKey = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnlineRow:
    """The newest embedding of a series."""

    space: str
    event_us: int
    created_us: int
    features: dict[str, NDArray[np.float32]]


class MemoryOnline:
    """An `OnlineSink`. Several sinks given the same `rows` share one store."""

    def __init__(self, rows: dict[SeriesKey, OnlineRow] | None = None, *, writes: Script = ()) -> None:
        self.rows: dict[SeriesKey, OnlineRow] = {} if rows is None else rows
        self._writes = iter(writes)

    def write(self, batch: EmbeddingBatch) -> int:
        """Write the batch; return the number of rows written."""
        play(self._writes)
        newest = batch.newest_per_series()
        keys = list(zip(*(np.asarray(column).tolist() for column in newest.series.values()), strict=True))
        written = 0
        for row, key in enumerate(keys):
            held, event_us, created_us = self.rows.get(key), int(newest.event_us[row]), int(newest.created_us[row])
            if held is None or (event_us, created_us) > (held.event_us, held.created_us):
                features = {name: vectors[row].copy() for name, vectors in newest.features.items()}
                self.rows[key] = OnlineRow(
                    space=newest.space, event_us=event_us, created_us=created_us, features=features
                )
                written += 1
        return written

    def look(self) -> None:
        """Do nothing: it loses no data."""

    def check(self) -> None:
        """Do nothing: it can always be written."""

    def close(self) -> None:
        """Let go: there is nothing to let go of."""


@dataclass(slots=True)
class MemoryChains:
    """What the folder of an offline log is on disk: parts, by the position at which they begin."""

    parts: dict[Partition, dict[int, ChainPart]] = field(default_factory=dict)
    begun: set[Partition] = field(default_factory=set)
    """The partitions whose chains must exist."""


class MemoryOfflineLog:
    """An `OfflineLog`. Several given the same `chains` share them, as an owner and a zombie do."""

    def __init__(self, chains: MemoryChains | None = None, *, publishes: Script = (), ends: Script = ()) -> None:
        self.chains = MemoryChains() if chains is None else chains
        self._publishes, self._ends = iter(publishes), iter(ends)
        self._seen: dict[Partition, int | None] = {}

    def end(self, partition: Partition) -> int | None:
        """Return where the chain ends, None if there is none."""
        play(self._ends)
        self._seen[partition] = self._end(partition)
        return self._seen[partition]

    def _end(self, partition: Partition) -> int | None:
        parts = self.chains.parts.get(partition, {})
        if not parts and partition in self.chains.begun:
            message = f"the log's folder of {partition} is gone, though its chain was begun"
            raise Unavailable(message)
        if not parts:
            return None
        return self._walk(parts)[-1].next

    def _walk(self, parts: dict[int, ChainPart]) -> list[ChainPart]:
        """Return the parts in the order of the chain."""
        walked, at, shift = [], min(parts), 0
        while (part := parts.get(at)) is not None:
            walked.append(part)
            if part.next < part.first:
                shift += part.first + 1 - part.next
            at = part.next + shift
        return walked

    def places(self, partition: Partition) -> Iterator[ChainEnd]:
        """Return where the parts of a chain end, newest first."""
        limit = math.inf
        for part in reversed(self._walk(self.chains.parts[partition])):
            if part.next <= limit:
                yield ChainEnd(next=part.next, mark=part.mark, refused=part.refused)
                limit = part.next if part.next < part.first else limit

    def turn_back(self, partition: Partition, place: ChainEnd) -> None:
        """Append a part without rows whose end is before its beginning."""
        last = self._walk(self.chains.parts[partition])[-1]
        if last.next != self._seen[partition]:
            message = f"another owner has appended to the chain of {partition} at {self._seen[partition]}"
            raise Replaced(message)
        none = last.embeddings.take(np.empty(0, np.int64))
        self.publish(
            replace(
                last,
                first=last.next,
                next=place.next,
                mark=place.mark,
                embeddings=none,
                offsets=last.offsets[:0],
                lost=0,
                refused=(),
            )
        )

    def latest(self, partition: Partition) -> int:
        """Return the `created_us` with which the chain ends, 0 if there is none."""
        parts = self.chains.parts.get(partition, {})
        return parts[max(parts)].created_us if parts else 0

    def publish(self, part: ChainPart) -> None:
        """Append a part."""
        play(self._publishes)
        end = self._end(part.partition)
        parts = self.chains.parts.setdefault(part.partition, {})
        turns = [one for one in self._walk(parts) if one.next < one.first] if parts else []
        if end is not None and (part.first < end or (turns and part.first > end)):
            message = f"another owner has appended to the chain of {part.partition} at {part.first}"
            raise Replaced(message)
        parts[part.first + sum(turn.first + 1 - turn.next for turn in turns)] = part
        self.chains.begun.add(part.partition)


class MemoryDeadLetters:
    """A `DeadLetters`."""

    def __init__(self, *, writes: Script = ()) -> None:
        self.rejects: list[Reject] = []
        self._writes = iter(writes)

    def write(self, rejects: Iterable[Reject]) -> None:
        """Keep the rejects."""
        play(self._writes)
        self.rejects.extend(rejects)

    def close(self) -> None:
        """Let go: there is nothing to let go of."""
