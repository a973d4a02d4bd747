"""`undertow.Reader` and `undertow.AsyncReader`: the newest vectors of series, as arrays.

In: where the store is, a name, series. Out: `Vectors`. Imports neither torch, Ray, Feast nor pandas; redis-py when a
reader is made.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from undertow.core.errors import WrongUsage
from undertow.core.extras import require_extras
from undertow.reader.conversation import Conversation, ask
from undertow.reader.following import Following, OnChange
from undertow.reader.neighbours import NO_IDS, Neighbours, SearchTerms, go_on, search
from undertow.reader.series_index import SeriesIndexes, WantedIndex
from undertow.reader.vectors import Vectors

if TYPE_CHECKING:  # they import redis-py
    from undertow.reader.lookups import AsyncLookups, Lookups

_VIEW = re.compile(r"(.+)__([0-9a-f]{8})")
_SECOND, _FIVE, _MINUTE = timedelta(seconds=1), timedelta(seconds=5), timedelta(minutes=1)
_MILLION = 1_000_000
"""Vectors that are compared in some tens of milliseconds, so without a loss. A choice."""


class _Opened:
    """What both readers have in common."""

    def __init__(
        self,
        place: str | Path,
        *,
        name: str,
        space: str = "",
        project: str = "",
        look_every: timedelta = _SECOND,
        timeout: timedelta = _FIVE,
        on_change: OnChange | None = None,
        exact_up_to: int = _MILLION,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings; connect at the first question.

        `place`: `redis://user:password@host:port/db` (`rediss://` with TLS), a Feast repository or its YAML, which may
        name a cluster, sentinels or SQLite, or a project's `undertow.toml`. `name`: the name of an artifact, or of a
        view, which pins its space.
        `space`: reads this space, promoted or not: a view's name, or the first digits of its identity.
        `project`: Feast's, where an address alone is given and several projects share that Redis.
        `look_every`: how old the knowledge of what is promoted may be; 0 looks with each question.
        `timeout`: how long the store may take to connect, and to answer, before `undertow.Unavailable` is raised.
        `on_change`: is called with a `SpaceChange` when another space is promoted, before the answer that has it.
        `exact_up_to`: among more series `neighbours` are looked for by a graph, which misses few, in place of a product
        over all vectors; it needs the extra `neighbours`.
        `now`, `monotonic`: clocks, in seconds.
        """
        require_extras("undertow.Reader", "reader")
        from undertow.reader.places import find_place  # noqa: PLC0415 redis-py takes a tenth of a second

        if not name:
            message = f"name: expected the name of an artifact or of a view, found {name!r}"
            raise WrongUsage(message)
        if timeout <= timedelta(0) or look_every < timedelta(0):
            message = f"expected a timeout above 0 and look_every of at least 0, found {timeout} and {look_every}"
            raise WrongUsage(message)
        if match := _VIEW.fullmatch(name):
            name, space = match[1], space or match[0]
        self._place = find_place(place)
        self._timeout_s, self._now, self._monotonic = timeout.total_seconds(), now, monotonic
        self._following = Following(
            name=name,
            project=project or self._place.project,
            pin=space,
            where=self._place.name,
            look_every_s=look_every.total_seconds(),
            on_change=on_change,
            monotonic=monotonic,
        )
        self._indexes = SeriesIndexes(self._open, monotonic, exact_up_to=exact_up_to)

    def _open(self) -> "Lookups":
        from undertow.reader.lookups import open_lookups  # noqa: PLC0415 see above

        return open_lookups(self._place, timeout_s=self._timeout_s)

    def _begin(self, series: Any, features: Sequence[str] | None, max_age: timedelta | None) -> Conversation:
        return ask(self._following, series, features, max_age=max_age, now=self._now)


class Reader(_Opened):
    """Reads the newest vectors online. Any thread may ask; one reader serves all.

    with undertow.Reader("feature_repo", name="pumps") as reader:
        found = reader.get(["site-0", "site-1"], max_age=timedelta(hours=1))
    found.vectors, found.found, found.age  # in the order that was asked for
    """

    @cached_property
    def _lookups(self) -> "Lookups":
        return self._open()

    def get(self, series: Any, features: Sequence[str] | None = None, *, max_age: timedelta | None = None) -> Vectors:
        """Return the newest vectors of these series, in their order; a series may be there twice.

        `series`: a list of ids, or of dicts where a series has several; a mapping of id columns; or a table of pandas,
        polars or Arrow that has such columns. `features`: some features by their names, in this order; all without it.
        `max_age`: leave out what is older. Raises `undertow.Refused` for what cannot be meant, and
        `undertow.Unavailable` where the store does not answer in time.
        """
        conversation = self._begin(series, features, max_age)
        question = next(conversation)
        while True:
            answer = self._lookups.ask(question)
            try:
                question = conversation.send(answer)
            except StopIteration as end:
                return cast("Vectors", end.value)

    def id_types(self) -> dict[str, str]:
        """Return the id columns of the space that is read now, by name, each `string` or `integer`. Asks the store."""
        self.get([])
        space = self._following.space
        return {} if space is None else {column.name: column.type for column in space.series}

    def neighbours(
        self,
        query: Any,
        k: int = 10,
        *,
        feature: str = "",
        metric: str = "cosine",
        where: Mapping[str, Any] = NO_IDS,
        max_age: timedelta | None = None,
        index_age: timedelta = _MINUTE,
    ) -> Neighbours:
        """Return the k series that are nearest to a series, which is not among them, or to a vector; nearest first.

        `query`: an id, a dict of ids, or (d,) numbers. `feature`: by which; not needed where there is one. `metric`:
        cosine or euclidean. `where`: only series with these ids, as `{"site": ["a", "b"]}`. `max_age`: none whose
        vector is older. `index_age`: where the index is older, another is made beside whoever asks, for which at most a
        tenth of the time is taken; the first one is waited for, some seconds for 100,000 series. It holds all vectors
        of the feature in memory; above `exact_up_to` a graph, too, which is made beside whoever asks.
        Raises as `get` does, and `undertow.Refused` where the series has no vector.
        """
        terms = SearchTerms(feature=feature, metric=metric, where=where, max_age=max_age, index_age=index_age)
        going = search(self._following, query, k, terms, self._monotonic)
        got: Any = None
        while not isinstance(wanted := go_on(going, got), Neighbours):
            if isinstance(wanted, WantedIndex):
                got = self._indexes.get(wanted)
            else:
                got = self.get(wanted.series, wanted.features, max_age=wanted.max_age)
        return wanted

    def close(self) -> None:
        """Close the connections. A reader that is asked again opens them anew."""
        self._indexes.close()
        self._lookups.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncReader(_Opened):
    """The same for asyncio: `await reader.get(...)`. It belongs to the event loop that asks it first.

    async with undertow.AsyncReader("redis://localhost", name="pumps") as reader:
        found = await reader.get(["site-0", "site-1"])
    """

    @cached_property
    def _lookups(self) -> "AsyncLookups":
        from undertow.reader.lookups import open_async_lookups  # noqa: PLC0415 see above

        return open_async_lookups(self._place, timeout_s=self._timeout_s)

    async def get(
        self, series: Any, features: Sequence[str] | None = None, *, max_age: timedelta | None = None
    ) -> Vectors:
        """Return the newest vectors of these series; see `Reader.get`."""
        conversation = self._begin(series, features, max_age)
        question = next(conversation)
        while True:
            answer = await self._lookups.ask(question)
            try:
                question = conversation.send(answer)
            except StopIteration as end:
                return cast("Vectors", end.value)

    async def neighbours(
        self,
        query: Any,
        k: int = 10,
        *,
        feature: str = "",
        metric: str = "cosine",
        where: Mapping[str, Any] = NO_IDS,
        max_age: timedelta | None = None,
        index_age: timedelta = _MINUTE,
    ) -> Neighbours:
        """Return the nearest series; see `Reader.neighbours`. The index is made and searched in threads."""
        terms = SearchTerms(feature=feature, metric=metric, where=where, max_age=max_age, index_age=index_age)
        going = search(self._following, query, k, terms, self._monotonic)
        got: Any = None
        while not isinstance(wanted := await asyncio.to_thread(go_on, going, got), Neighbours):
            if isinstance(wanted, WantedIndex):
                got = await asyncio.to_thread(self._indexes.get, wanted)
            else:
                got = await self.get(wanted.series, wanted.features, max_age=wanted.max_age)
        return wanted

    async def close(self) -> None:
        """Close the connections. A reader that is asked again opens them anew."""
        await asyncio.to_thread(self._indexes.close)
        await self._lookups.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
