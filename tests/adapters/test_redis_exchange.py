"""Requests are those of redis-py, and each gets its own reply, whatever has happened to the connection before."""

import asyncio
import threading

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis import asyncio as redis_asyncio
from redis.connection import Connection

from undertow.adapters.redis_exchange import WINDOW, exchange, exchange_async, request
from undertow.adapters.redis_reads import commands_of, requests_of
from undertow.schemas.contract import IdColumn
from undertow.schemas.lookups import Question
from undertow.schemas.served import ServedSpace

KEYS = st.lists(st.binary(max_size=40), max_size=5, unique=True)
FEATURES = (("hidden", 3), ("gate", 1))
SPACE = ServedSpace(
    view="har__a1b2c3d4",
    online="har__a1b2c3d4",
    space="a" * 64,
    series=(IdColumn(name="wearer", type="string"),),
    features=FEATURES,
    ttl_seconds=None,
)


@given(keys=KEYS, lists=st.booleans(), record=st.sampled_from(["", "p/har", "ü/har"]), project=st.text(max_size=9))
def test_a_question_is_asked_in_the_bytes_that_redis_py_would_send(keys, lists, record, project):
    features = tuple(name for name, _ in FEATURES)
    question = Question(lists=lists, record=record, project=project, space=SPACE, features=features, keys=keys)
    packer = Connection()
    theirs = [b"".join(packer.pack_command(*command)) for command in commands_of(question)]
    assert requests_of(question) == theirs


@pytest.fixture
def echoes():
    """More requests than are sent before a reply is read, and their replies."""
    words = [b"%d" % number for number in range(2 * WINDOW + 3)]
    return [request("ECHO", word) for word in words], words


@pytest.mark.redis
def test_replies_come_in_the_order_of_the_requests_errors_among_them(redis_address, echoes):
    requests, words = echoes
    place = WINDOW + 1
    requests[place] = request("GET")
    with redis.Redis.from_url(f"redis://{redis_address}") as client:
        replies = exchange(client.connection_pool, requests)
    assert isinstance(replies.pop(place), redis.ResponseError)
    words.pop(place)
    assert replies == words


class ClosesOne:
    """A pool whose first connection is closed by the server as soon as it is taken."""

    def __init__(self, pool, killer):
        self.pool, self.killer, self.is_first = pool, killer, True
        self.release = pool.release

    def get_connection(self):
        return self.closed(self.pool.get_connection())

    def get_available_connection(self):
        return self.closed(self.pool.get_available_connection())

    def closed(self, connection):
        if self.is_first:
            assert self.killer.client_kill_filter(_type="normal", skipme=True) > 0
        self.is_first = False
        return connection


@pytest.mark.redis
def test_a_connection_that_the_server_has_closed_is_made_anew_once(redis_address, echoes):
    requests, words = echoes

    async def in_loop():
        client = redis_asyncio.Redis.from_url(f"redis://{redis_address}")
        assert await exchange_async(client.connection_pool, requests[:1], timeout_s=30) == words[:1]
        pool = ClosesOne(client.connection_pool, killer)
        assert await exchange_async(pool, requests, timeout_s=30) == words
        await client.aclose()

    with redis.Redis.from_url(f"redis://{redis_address}") as killer:
        asyncio.run(in_loop())
        with redis.Redis.from_url(f"redis://{redis_address}") as client:
            assert exchange(ClosesOne(client.connection_pool, killer), requests) == words


@pytest.mark.redis
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13])
def test_whoever_asks_after_one_that_gave_up_gets_replies_of_their_own(redis_address, echoes, turns):
    requests, words = echoes

    async def run():
        client = redis_asyncio.Redis.from_url(f"redis://{redis_address}")
        pool = client.connection_pool
        assert await exchange_async(pool, requests[:1], timeout_s=30) == words[:1]  # is connected
        first = asyncio.create_task(exchange_async(pool, requests, timeout_s=30))
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert await exchange_async(pool, requests[7:9], timeout_s=30) == words[7:9]
        await client.aclose()

    asyncio.run(run())


@pytest.mark.redis
def test_threads_that_ask_at_the_same_time_get_replies_of_their_own(redis_address, echoes):
    requests, words = echoes
    right = []

    def ask(first):
        replies = [exchange(client.connection_pool, requests[first:]) for _ in range(5)]
        right.append(all(one == words[first:] for one in replies))

    with redis.Redis.from_url(f"redis://{redis_address}") as client:
        threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert right == [True] * 4
