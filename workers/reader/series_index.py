"""Indexes of the series that are online, made again beside whoever asks.

In: a store. Out: `SeriesIndex`. Knows no search. One of very many series gets a graph while it already answers.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import compress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from undertow.adapters import feast_bytes
from undertow.core.errors import Refused, Unavailable, UndertowError
from undertow.core.extras import require_extras
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
REST = 9.0
"""After an index was made, none is made anew for as many times as long: that takes a tenth of the time. A choice."""

_Key = tuple[str, Metric]


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
class Candidates:
    """Series that may be the nearest."""

    series: Mapping[str, NDArray[Any]]
    """(n,) ids, by the name of the id column."""
    exact: bool
    """Whether all of the index were compared."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeriesIndex:
    """An index, and whose vectors it has."""

    space: str
    index: VectorIndex
    ids: Mapping[str, NDArray[Any]]
    """(n,) of objects, by the name of the id column."""
    made: float
    """By the reader's monotonic clock, when it was begun."""

    def candidates(self, query: NDArray[np.float32], k: int, where: Mapping[str, list[Any]]) -> Candidates:
        """Return the nearest series, more than k; only of those whose ids `where` has."""
        among = None
        for name, wanted in where.items():
            values = frozenset(wanted)
            is_one = np.fromiter((one in values for one in self.ids[name]), np.bool_, len(self.index))
            among = is_one if among is None else among & is_one
        places, is_exact = self.index.nearest(query, TIMES * k + SPARE, among)
        return Candidates(series={name: ids[places] for name, ids in self.ids.items()}, exact=is_exact)


class SeriesIndexes:
    """The indexes of one reader, one for each feature and metric, by a connection of their own. Any thread may ask."""

    def __init__(
        self, open_store: Callable[[], "Lookups"], monotonic: Callable[[], float], *, exact_up_to: int
    ) -> None:
        """Make none yet. One of more series than `exact_up_to` gets a graph, where usearch is installed."""
        self._open, self._monotonic, self._exact_up_to = open_store, monotonic, exact_up_to
        self._store: Lookups | None = None
        self._known: dict[_Key, SeriesIndex] = {}
        self._rests: dict[_Key, float] = {}  # till when
        self._working: dict[_Key, Thread] = {}
        self._lock, self._ends = Lock(), Event()
        self._is_told = False

    def get(self, wanted: WantedIndex) -> SeriesIndex:
        """Return an index of this space. Waits where there is none, never for a graph. Raises what the store does."""
        key = wanted.feature, wanted.metric
        with self._lock:
            known = self._known.get(key)
            is_new = known is None or known.space != wanted.space.space
            if known is None or is_new:
                known = self._known[key] = self._make(wanted)
                self._rest(key, known)
            now = self._monotonic()
            is_due = now - known.made > wanted.oldest_s and now >= self._rests[key]
            wants_graph = is_new and len(known.index) > self._exact_up_to
            if key not in self._working and (is_due or wants_graph):
                work = Thread(target=self._work, args=(wanted, known if is_new else None), name="index", daemon=True)
                self._working[key] = work
                work.start()
        return known

    def close(self) -> None:
        """End what is being made, forget all, and close the connection; asking again begins anew."""
        self._ends.set()
        with self._lock:
            threads = [*self._working.values()]
        for thread in threads:
            thread.join()
        with self._lock:
            self._known.clear()
            self._ends.clear()
            if self._store is not None:
                self._store.close()

    def _work(self, wanted: WantedIndex, made: SeriesIndex | None) -> None:
        """Make an index anew, where there is none yet, and its graph."""
        key = wanted.feature, wanted.metric
        try:
            if made is None:
                made = self._make(wanted)
            if len(made.index) > self._exact_up_to:
                self._add_graph(wanted.space.view, made)
        except UndertowError as error:
            if not self._ends.is_set():
                log.warning("%s: the index of neighbours stays an old one: %s", wanted.space.view, error)
        finally:
            with self._lock:
                del self._working[key]
                known = self._known.get(key)
                if made is not None and known is not None and known.space == made.space:
                    self._known[key] = made
                    self._rest(key, made)

    def _rest(self, key: _Key, made: SeriesIndex) -> None:
        now = self._monotonic()
        self._rests[key] = now + REST * (now - made.made)

    def _add_graph(self, view: str, made: SeriesIndex) -> None:
        count = len(made.index)
        try:
            require_extras(f"neighbours among {count:,} series by a graph", "neighbours")
        except Refused as missing:
            if not self._is_told:
                log.warning("%s: each search compares all of them, for %s", view, missing)
            self._is_told = True
            return
        began = self._monotonic()
        made.index.add_graph(lambda: not self._ends.is_set())
        log.info(
            "%s: a graph of %s series was made in %.0f s; the index takes %s MB, ids apart",
            *(view, f"{count:,}", self._monotonic() - began, f"{made.index.nbytes / 1e6:,.0f}"),
        )

    def _make(self, wanted: WantedIndex) -> SeriesIndex:
        began, space = self._monotonic(), wanted.space
        if self._store is None:
            self._store = self._open()
        size = dict(space.features)[wanted.feature]
        keys = self._store.keys(wanted.project, space)
        pieces, series = [np.empty((0, size), np.float32)], list[bytes]()
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
            is_near = np.logical_and.reduce(np.isfinite(vectors), axis=1)  # NaN is near to nothing
            pieces.append(vectors[is_near])
            found = compress(some, answer.found.tolist())
            series += [key for key, is_one in zip(found, is_near.tolist(), strict=True) if is_one]
        ids = feast_bytes.read_entity_keys(series, [column.name for column in space.series])
        return SeriesIndex(
            space=space.space,
            index=VectorIndex(np.concatenate(pieces), wanted.metric),
            ids={name: np.array(values, object) for name, values in ids.items()},
            made=began,
        )
