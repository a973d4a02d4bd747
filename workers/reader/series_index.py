"""Indexes of the series that are online, made again beside whoever asks.

In: a store. Out: `SeriesIndex`. Knows no search.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.adapters import feast_bytes
from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.reader.nearest import Metric, VectorIndex
from undertow.schemas.lookups import Question
from undertow.schemas.served import ServedSpace

if TYPE_CHECKING:  # it imports redis-py
    from undertow.reader.lookups import Lookups

log = logging.getLogger(__name__)

SPARE, TIMES = 32, 4
"""For k neighbours 4 k + 32 candidates are read again: those that have moved away since are among them. A choice."""
READ_AT_ONCE = 10_000
"""Series that are read in one round trip while an index is made. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedIndex:
    """Which index a search wants."""

    space: ServedSpace
    project: str
    feature: str
    metric: Metric
    oldest_s: float
    """An older one is made anew, beside the search."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesIndex:
    """An index, and whose vectors it has."""

    space: str
    index: VectorIndex
    ids: Mapping[str, NDArray[Any]]
    """(n,) of objects, by the name of the id column."""
    made: float
    """By the reader's monotonic clock, when it was begun."""

    def candidates(self, query: NDArray[np.float32], k: int, where: Mapping[str, list[Any]]) -> dict[str, NDArray[Any]]:
        """Return the ids of the nearest series, more than k, by column; only of those whose ids `where` has."""
        among = None
        for name, wanted in where.items():
            is_one = np.zeros(len(self.index), np.bool_)
            for value in wanted:
                is_one |= self.ids[name] == value
            among = is_one if among is None else among & is_one
        places = self.index.nearest(query, TIMES * k + SPARE, among)
        return {name: values[places] for name, values in self.ids.items()}


class SeriesIndexes:
    """The indexes of one reader, one for each feature and metric, by a connection of their own. Any thread may ask."""

    def __init__(self, open_store: Callable[[], "Lookups"], monotonic: Callable[[], float]) -> None:
        """Make none yet."""
        self._open, self._monotonic = open_store, monotonic
        self._store: Lookups | None = None
        self._known: dict[tuple[str, Metric], SeriesIndex] = {}
        self._renewing: dict[tuple[str, Metric], Thread] = {}
        self._lock, self._ends = Lock(), Event()

    def get(self, wanted: WantedIndex) -> SeriesIndex:
        """Return an index of this space. Waits only where there is none. Raises what the store raises."""
        key = wanted.feature, wanted.metric
        with self._lock:
            known = self._known.get(key)
            if known is None or known.space != wanted.space.space:
                known = self._known[key] = self._make(wanted)
            elif self._monotonic() - known.made > wanted.oldest_s and key not in self._renewing:
                self._renewing[key] = Thread(target=self._renew, args=(wanted,), name="index", daemon=True)
                self._renewing[key].start()
        return known

    def close(self) -> None:
        """End what is being made, forget all, and close the connection; asking again begins anew."""
        self._ends.set()
        with self._lock:
            threads = [*self._renewing.values()]
        for thread in threads:
            thread.join()
        with self._lock:
            self._known.clear()
            self._ends.clear()
            if self._store is not None:
                self._store.close()

    def _renew(self, wanted: WantedIndex) -> None:
        key = wanted.feature, wanted.metric
        made = None
        try:
            made = self._make(wanted)
        except UndertowError as error:
            if not self._ends.is_set():
                log.warning("%s: the index of neighbours stays an old one: %s", wanted.space.view, error)
        finally:
            with self._lock:
                del self._renewing[key]
                if made is not None and (known := self._known.get(key)) is not None and known.space == made.space:
                    self._known[key] = made

    def _make(self, wanted: WantedIndex) -> SeriesIndex:
        began, space = self._monotonic(), wanted.space
        if self._store is None:
            self._store = self._open()
        size = dict(space.features)[wanted.feature]
        keys = self._store.keys(wanted.project, space)
        pieces, series = [np.empty((0, size), np.float32)], []
        for first in range(0, len(keys), READ_AT_ONCE):
            if self._ends.is_set():
                message = f"{space.view}: the reader was closed while its index was made"
                raise Unavailable(message)
            some = keys[first : first + READ_AT_ONCE]
            answer = self._store.ask(
                Question(project=wanted.project, space=space, features=(wanted.feature,), keys=some)
            )
            vectors = feast_bytes.read_float_lists(answer.values[0], size)
            if vectors is None:
                message = f"{space.view}: expected vectors of {size} numbers in {wanted.feature}, found something else"
                raise Refused(message)
            pieces.append(vectors)
            series += [key for key, is_found in zip(some, answer.found.tolist(), strict=True) if is_found]
        ids = feast_bytes.read_entity_keys(series, [column.name for column in space.series])
        return SeriesIndex(
            space=space.space,
            index=VectorIndex(np.concatenate(pieces), wanted.metric),
            ids={name: np.array(values, object) for name, values in ids.items()},
            made=began,
        )
