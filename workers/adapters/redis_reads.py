"""Read vectors from Redis, a question in one pipeline of HMGETs; for threads and for asyncio.

In: `Question`s. Out: `Answer`s, or `Unavailable` within the timeouts. Knows no Feast: it is never imported.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from threading import Lock
from typing import Any

import numpy as np
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from undertow.adapters import feast_bytes
from undertow.adapters.redis_client import connect, connect_async, options_are_taken
from undertow.adapters.redis_faults import translated
from undertow.adapters.redis_served import KEY
from undertow.schemas.lookups import Answer, Question
from undertow.schemas.served import ServedSpace

log = logging.getLogger(__name__)

AWAY = "does not answer"
SCANNED = 10_000
"""Keys that Redis looks at in one step of a scan: some milliseconds, in which it answers nobody else. A choice."""


class RedisReads:
    """A `Lookups` for threads: redis-py takes a connection for each that asks at the same time."""

    def __init__(self, options: Mapping[str, Any], *, timeout_s: float) -> None:
        """Take Feast's `online_store` section; connect at the first question.

        `timeout_s`: how long connecting, and each answer, may take. One retry covers a connection closed while idle.
        """
        self._options = options
        self._waits = _waits(timeout_s, Retry(NoBackoff(), 1))
        self._client: Any = None
        self._lock = Lock()

    def ask(self, question: Question) -> Answer:
        """Ask in one round trip; in a cluster, one for each node."""
        with translated(self._options, "read", away=AWAY):
            with self._lock, options_are_taken():
                if self._client is None:
                    self._client = connect(self._options, self._waits)
            with self._client.pipeline(transaction=False) as pipeline:
                for command in commands_of(question):
                    pipeline.execute_command(*command)
                return answer_of(question, pipeline.execute(raise_on_error=False))

    def keys(self, project: str, space: ServedSpace) -> list[bytes]:
        """Look through all keys of the server, or of all nodes of a cluster: some microseconds each."""
        names = [column.name for column in space.series]
        with translated(self._options, "read", away=AWAY):
            with self._lock, options_are_taken():
                if self._client is None:
                    self._client = connect(self._options, self._waits)
            end = project.encode()
            found = self._client.scan_iter(match=b"*" + _literal(end), count=SCANNED)
            # A scan may give a key twice; the name of another project may end with that of this one.
            keys = dict.fromkeys(key[: len(key) - len(end)] for key in found)
            return [key for key in keys if feast_bytes.is_entity_key(key, names)]

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None


class AsyncRedisReads:
    """The same for one event loop."""

    def __init__(self, options: Mapping[str, Any], *, timeout_s: float) -> None:
        """See `RedisReads`."""
        self._options = options
        self._waits = _waits(timeout_s, AsyncRetry(NoBackoff(), 1))
        self._client: Any = None

    async def ask(self, question: Question) -> Answer:
        """Ask in one round trip; in a cluster, one for each node."""
        with translated(self._options, "read", away=AWAY):
            if self._client is None:
                with options_are_taken():
                    self._client = connect_async(self._options, self._waits)
            async with self._client.pipeline(transaction=False) as pipeline:
                for command in commands_of(question):
                    pipeline.execute_command(*command)
                return answer_of(question, await pipeline.execute(raise_on_error=False))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def commands_of(question: Question) -> Iterator[tuple[Any, ...]]:
    """Yield the commands of a question, those of the vectors last."""
    if question.lists:
        yield "HKEYS", KEY
    if question.record:
        yield "HGET", KEY, question.record.encode()
    if space := question.space:
        fields = [feast_bytes.timestamp_field(space.online)]
        fields += [feast_bytes.redis_field(space.online, feature) for feature in question.features]
        project = question.project.encode()
        for key in question.keys:
            yield "HMGET", key + project, *fields


def answer_of(question: Question, replies: Sequence[Any]) -> Answer:
    """Return what the replies say; raise the first that is an error, a foreign value at a series' key apart."""
    waiting = iter(replies)
    names = tuple(name.decode() for name in _value(next(waiting))) if question.lists else ()
    record = _value(next(waiting)) if question.record else None
    rows = [_row(reply) for reply in waiting]
    # Feast writes an empty value where it has none.
    is_found = [row is not None and None not in row and b"" not in row[1:] for row in rows]
    columns = list(zip(*compress(rows, is_found), strict=True)) or [()] * (1 + len(question.features))
    return Answer(
        names=names,
        record=record.decode() if record is not None else None,
        found=np.array(is_found, np.bool_),
        event_us=feast_bytes.read_timestamps(columns[0]),
        values=columns[1:],
    )


def _literal(text: bytes) -> bytes:
    """Return a pattern of Redis that matches this text alone."""
    return re.sub(rb"([*?\[\]\\^-])", rb"\\\1", text)


def _row(reply: Any) -> Sequence[bytes | None] | None:
    if isinstance(reply, Exception) and "WRONGTYPE" in str(reply):
        log.warning("a series' key in Redis holds a foreign value, so the series reads as missing (undertow check)")
        return None
    row: Sequence[bytes | None] = _value(reply)
    return row


def _value(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _waits(timeout_s: float, retry: Any) -> Mapping[str, Any]:
    return {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": retry}
