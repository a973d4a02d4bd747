"""Which series are like a series, or like a vector: by an index of what is online, and what is online now.

In: a query, what is read for it. Out: `Neighbours`. It does no input or output itself: whoever runs the search does.

The index has the vectors of a moment, and is made anew, beside whoever asks, when it is older than it may be. More
candidates than are wanted come from it; their vectors are then read again, and these are compared. So an old index may
miss a series that has come near since, but what is told of those that are found is as it is online.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from numbers import Integral
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from undertow.core.errors import Refused, WrongUsage
from undertow.reader.following import Following
from undertow.reader.nearest import distances, require_metric
from undertow.reader.series import id_columns
from undertow.reader.series_index import SeriesIndex, WantedIndex
from undertow.reader.vectors import Vectors
from undertow.schemas.served import ServedSpace

NO_IDS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """The nearest series, the nearest first. There may be fewer than were asked for."""

    series: Mapping[str, list[Any]]
    """(k,) ids, by the names of the id columns."""
    distance: NDArray[np.float32]
    """(k,) by the metric: 1 - cosine (0 to 2), or the length of the difference."""
    vectors: NDArray[np.float32]
    """(k, d) as they are online now."""
    event_time: NDArray[np.datetime64]
    """(k,) the end of the window that was embedded: microseconds, UTC."""
    age: NDArray[np.timedelta64]
    """(k,) how old that is: microseconds."""
    indexed: int
    """Among how many series it was looked."""
    index_age: float
    """How many seconds ago the index was begun to be made. Who has come since is not found."""
    exact: bool
    """Whether all of the index were compared with the query; if not, it was searched by a graph, which misses few."""
    view: str
    space: str
    """The full identity of the space. Distances in two spaces cannot be compared."""

    def __len__(self) -> int:
        return len(self.distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedVectors:
    """What a search wants read online, as `Reader.get` takes it."""

    series: Any
    features: tuple[str, ...] | None
    max_age: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTerms:
    """What else a search is told, as `Reader.neighbours` takes it."""

    feature: str
    metric: str
    where: Mapping[str, Any]
    max_age: timedelta | None
    index_age: timedelta


Search = Generator[WantedVectors | WantedIndex, Any, Neighbours]
"""Is sent `Vectors` and a `SeriesIndex`, as it wants them."""


def go_on(going: Search, got: Any) -> WantedVectors | WantedIndex | Neighbours:
    """Send what was wanted, None at first; return what is wanted next, or the end. May be called in a thread."""
    try:
        return going.send(got)
    except StopIteration as end:
        return cast("Neighbours", end.value)


def search(following: Following, query: Any, k: int, terms: SearchTerms, monotonic: Callable[[], float]) -> Search:
    """Find the series nearest to a series or a vector. Raises `WrongUsage`, and `Refused` for a series without one."""
    known, feature = require_metric(terms.metric), terms.feature
    if k < 1:
        message = f"k: expected at least 1, found {k}"
        raise WrongUsage(message)
    is_vector = not isinstance(query, (str, Integral, Mapping))
    while True:
        first: Vectors = yield WantedVectors(
            series=[] if is_vector else [query], features=(feature,) if feature else None
        )
        space = following.space
        if space is None or space.space != first.space:
            continue  # another one was promoted meanwhile
        name = _feature(space, feature)
        vector = _vector(space, name, query) if is_vector else _of_series(first, query)[first.columns[name]]
        index: SeriesIndex = yield WantedIndex(
            space=space, project=following.project, feature=name, metric=known, oldest_s=terms.index_age.total_seconds()
        )
        given = index.candidates(vector, k, _typed(terms.where, space))
        candidates = given.series
        found: Vectors = yield WantedVectors(series=candidates, features=(name,), max_age=terms.max_age)
        if found.space != space.space:
            continue
        is_wanted = found.found & np.isfinite(found.vectors).all(axis=1)
        if not is_vector:
            own = id_columns([query], space.series)
            is_own = [candidates[one.name] == own[one.name][0] for one in space.series]
            is_wanted &= ~np.logical_and.reduce(is_own)
        (places,) = is_wanted.nonzero()
        distance = distances(found.vectors[places], vector, known)
        ties = [candidates[one.name][places] for one in reversed(space.series)]
        order = np.lexsort([*ties, distance])[:k]  # a store gives series in any order
        chosen = places[order]
        return Neighbours(
            series={name: ids[chosen].tolist() for name, ids in candidates.items()},
            distance=distance[order],
            vectors=found.vectors[chosen],
            event_time=found.event_time[chosen],
            age=found.age[chosen],
            indexed=len(index.index),
            index_age=monotonic() - index.made,
            exact=given.exact,
            view=space.view,
            space=space.space,
        )


def _feature(space: ServedSpace, feature: str) -> str:
    names = [name for name, _ in space.features]
    if not feature and len(names) > 1:
        message = f"feature: expected one of {', '.join(names)}, by which {space.view} is to be searched"
        raise WrongUsage(message)
    return feature or names[0]


def _vector(space: ServedSpace, feature: str, query: Any) -> NDArray[np.float32]:
    size = dict(space.features)[feature]
    try:
        vector = np.asarray(query, np.float32)
    except (TypeError, ValueError):
        vector = np.empty(0, np.float32)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        message = (
            f"expected a series (an id, or a dict of ids) or a vector of {size} finite numbers, as {feature} of "
            f"{space.view} has, found {type(query).__name__} of shape {vector.shape}"
        )
        raise WrongUsage(message)
    return vector


def _of_series(found: Vectors, query: Any) -> NDArray[np.float32]:
    if not found.found[0]:
        message = f"{found.view} has no vector of {query!r} online, to which others could be near"
        raise Refused(message)
    vector: NDArray[np.float32] = found.vectors[0]
    return vector


def _typed(where: Mapping[str, Any], space: ServedSpace) -> dict[str, list[Any]]:
    """Return the ids that are wanted, by column. Raises `WrongUsage` for what no column has."""
    types = {column.name: column for column in space.series}
    if strange := sorted(where.keys() - types.keys()):
        message = f"where: {space.view} has no id {', '.join(strange)}; there are: {', '.join(types)}"
        raise WrongUsage(message)
    wanted = {}
    for name, given in where.items():
        values = list(given) if isinstance(given, (list, tuple, set, frozenset)) else [given]
        wanted[name] = id_columns({name: values}, [types[name]])[name].tolist()
    return wanted
