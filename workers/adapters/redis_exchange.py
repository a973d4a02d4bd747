"""Ask one Redis server many things at once: requests as bytes, replies in their order; for threads and for asyncio.

In: requests as Redis takes them, a pool of redis-py's connections. Out: replies, errors of single requests among them.
Knows no keys. redis-py's own pipelines do the same at several times the cost a reply, and asyncio's at twenty times.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import redis

WINDOW = 1_000
"""Requests that are sent before the replies of those before them are read: so the server works while we read, and holds
few replies. A choice: some 100 kB, of vectors ten times that."""


def request(name: str, *words: bytes) -> bytes:
    """Return one command as Redis takes it."""
    return b"*%d\r\n%b" % (1 + len(words), b"".join(map(argument, (name.encode(), *words))))


def argument(word: bytes) -> bytes:
    """Return one word of a command as Redis takes it."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


def exchange(pool: Any, requests: Sequence[bytes]) -> list[Any]:
    """Return the reply to each request. A second try covers a connection that the server had closed."""
    try:
        return _exchange(pool, requests)
    except (redis.ConnectionError, redis.TimeoutError):
        return _exchange(pool, requests)


async def exchange_async(pool: Any, requests: Sequence[bytes], *, timeout_s: float) -> list[Any]:
    """Do the same on an event loop, each try within this time; the pool's connections have no timeout of their own.

    A timeout for each reply, as redis-py has it, takes longer than reading it.
    """
    try:
        return await _exchange_async(pool, requests, timeout_s)
    except (redis.ConnectionError, redis.TimeoutError):
        return await _exchange_async(pool, requests, timeout_s)


def _exchange(pool: Any, requests: Sequence[bytes]) -> list[Any]:
    connection = pool.get_connection()
    replies: list[Any] = []
    try:
        for sent, awaited in _windows(requests):
            if sent:
                connection.send_packed_command([sent])
            for _ in range(awaited):
                try:
                    replies.append(connection.read_response())
                except redis.ResponseError as error:
                    replies.append(error)
    except BaseException:  # as Ctrl-C: what is still to come would be taken for the replies to other requests
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return replies


async def _exchange_async(pool: Any, requests: Sequence[bytes], timeout_s: float) -> list[Any]:
    connection = pool.get_available_connection()
    replies: list[Any] = []
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()  # where it is not; one behind sentinels looks for the master here alone
            for sent, awaited in _windows(requests):
                if sent:
                    await connection.send_packed_command([sent])
                for _ in range(awaited):
                    try:
                        replies.append(await connection.read_response())
                    except redis.ResponseError as error:
                        replies.append(error)
    except TimeoutError as error:
        message = f"no answer within {timeout_s:g} s"
        raise redis.TimeoutError(message) from error
    finally:  # where a read or a write of it has ended early, redis-py has closed the connection
        await pool.release(connection)
    return replies


def _windows(requests: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield what to send next, and how many replies to read then: those to the window before."""
    awaited = 0
    for first in range(0, len(requests), WINDOW):
        some = requests[first : first + WINDOW]
        yield b"".join(some), awaited
        awaited = len(some)
    yield b"", awaited
