"""The stores that can be asked, for threads and for asyncio.

In: a `ReaderPlace`. Out: `Lookups`, `AsyncLookups`. Knows no question.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from undertow.adapters.redis_reads import AsyncRedisReads, RedisReads
from undertow.reader.places import ReaderPlace
from undertow.schemas.lookups import Answer, Question
from undertow.schemas.served import ServedSpace


class Lookups(Protocol):
    """An online store. Any thread may ask; it blocks. Raises `Unavailable` within its timeout, or `Refused`."""

    def ask(self, question: Question) -> Answer:
        """Ask in one round trip."""

    def keys(self, project: str, space: ServedSpace) -> list[bytes]:
        """Return Feast's entity keys of all series that may have a vector of this space, each once.

        Of a Redis that several views share some have none.
        """

    def close(self) -> None:
        """Close the connections; asking again opens them anew."""


class AsyncLookups(Protocol):
    """The same for one event loop."""

    async def ask(self, question: Question) -> Answer:
        """Ask in one round trip."""

    async def close(self) -> None:
        """Close the connections."""


class ThreadedLookups:
    """A store that has no asyncio of its own, asked in threads."""

    def __init__(self, lookups: Lookups) -> None:
        """Take the store."""
        self._lookups = lookups

    async def ask(self, question: Question) -> Answer:
        """Ask in a thread."""
        return await asyncio.to_thread(self._lookups.ask, question)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._lookups.close)


def open_lookups(place: ReaderPlace, *, timeout_s: float) -> Lookups:
    """Return the store of a place, which connects when it is asked."""
    if place.options["type"] == "redis":
        return RedisReads(place.options, timeout_s=timeout_s)
    if place.options["type"] == "postgres":
        from undertow.adapters.postgres_reads import PostgresReads  # noqa: PLC0415 an optional extra

        return PostgresReads(place.options, timeout_s=timeout_s)
    from undertow.adapters.sqlite_reads import SqliteReads  # noqa: PLC0415 it brings pyarrow

    return SqliteReads(Path(place.options["path"]), timeout_s=timeout_s)


def open_async_lookups(place: ReaderPlace, *, timeout_s: float) -> AsyncLookups:
    """Return the same for asyncio."""
    if place.options["type"] == "redis":
        return AsyncRedisReads(place.options, timeout_s=timeout_s)
    return ThreadedLookups(open_lookups(place, timeout_s=timeout_s))
