"""Read vectors from Redis, a question in one go of HMGETs; for threads and for asyncio.

In: `Question`s. Out: `Answer`s, or `Unavailable` within the timeouts. Knows no Feast: it is never imported.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from threading import Lock
from typing import Any

import numpy as np
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from undertow.adapters import feast_bytes
from undertow.adapters.redis_client import connect, connect_async, options_are_taken
from undertow.adapters.redis_exchange import argument, exchange, exchange_async, request
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

        `timeout_s`: how long connecting, and each answer, may take. What fails is tried once more, as a connection may
        have been closed while it was idle.
        """
        self._options = options
        self._is_cluster = options.get("redis_type") == "redis_cluster"
        self._waits = _waits(timeout_s, Retry(NoBackoff(), int(self._is_cluster)))
        self._client: Any = None
        self._lock = Lock()

    def ask(self, question: Question) -> Answer:
        """Ask in one round trip; in a cluster, one for each node."""
        with translated(self._options, "read", away=AWAY):
            client = self._connected()
            if not self._is_cluster:
                return answer_of(question, exchange(client.connection_pool, requests_of(question)))
            with client.pipeline(transaction=False) as pipeline:
                for command in commands_of(question):
                    pipeline.execute_command(*command)
                return answer_of(question, pipeline.execute(raise_on_error=False))

    def keys(self, project: str, space: ServedSpace) -> list[bytes]:
        """Look through all keys of the server, or of all nodes of a cluster: some microseconds each."""
        names = [column.name for column in space.series]
        with translated(self._options, "read", away=AWAY):
            end = project.encode()
            found = self._connected().scan_iter(match=b"*" + _literal(end), count=SCANNED)
            # A scan may give a key twice; the name of another project may end with that of this one.
            keys = dict.fromkeys(key[: len(key) - len(end)] for key in found)
            return feast_bytes.only_entity_keys(keys, names)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> Any:
        with self._lock, options_are_taken():
            if self._client is None:
                self._client = connect(self._options, self._waits)
            return self._client


class AsyncRedisReads:
    """The same for one event loop."""

    def __init__(self, options: Mapping[str, Any], *, timeout_s: float) -> None:
        """See `RedisReads`."""
        self._options = options
        self._is_cluster = options.get("redis_type") == "redis_cluster"
        self._waits = _waits(timeout_s, AsyncRetry(NoBackoff(), int(self._is_cluster)))
        self._timeout_s = timeout_s
        self._client: Any = None

    async def ask(self, question: Question) -> Answer:
        """Ask in one round trip; in a cluster, one for each node."""
        with translated(self._options, "read", away=AWAY):
            if self._client is None:
                self._connect()
            if not self._is_cluster:
                pool, requests = self._client.connection_pool, requests_of(question)
                return answer_of(question, await exchange_async(pool, requests, timeout_s=self._timeout_s))
            async with self._client.pipeline(transaction=False) as pipeline:
                for command in commands_of(question):
                    pipeline.execute_command(*command)
                return answer_of(question, await pipeline.execute(raise_on_error=False))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _connect(self) -> None:
        with options_are_taken():
            self._client = connect_async(self._options, self._waits)
        if not self._is_cluster:  # one timeout for all replies together, in place of one for each
            options = self._client.connection_pool.connection_kwargs
            self._timeout_s = options.pop("socket_timeout", None) or self._timeout_s


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


def requests_of(question: Question) -> list[bytes]:
    """Return the same commands as Redis takes them."""
    few = list(commands_of(replace(question, keys=question.keys[:1])))
    requests = [request(*command) for command in few]
    if len(question.keys) > 1:
        (name, _, *fields), project = few[-1], question.project.encode()
        head, tail = b"*%d\r\n%b" % (2 + len(fields), argument(name.encode())), b"".join(map(argument, fields))
        more = len(project)
        requests += [b"%b$%d\r\n%b%b\r\n%b" % (head, len(key) + more, key, project, tail) for key in question.keys[1:]]
    return requests


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
