"""Build clients of Redis as Feast would: of one server, a cluster, or behind sentinels; for threads and for asyncio.

In: Feast's `online_store` section. Out: redis-py's clients, which connect when they are used (a cluster's at once,
unless it is asyncio's). Knows no keys.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis import asyncio as redis_asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel

from undertow.adapters.redis_address import SETTING, read_connection
from undertow.adapters.redis_faults import connection_of, require_files
from undertow.core.errors import Refused


@contextlib.contextmanager
def options_are_taken() -> Iterator[None]:
    """Raise `Refused` for options on which redis-py raises errors of its own."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        # The error's text is left out, since it may show a value.
        message = (
            f"{SETTING}: redis-py does not take the options there ({type(error).__name__}): compare with its manual"
        )
        raise Refused(message) from None


def connect(options: Mapping[str, Any], waits: Mapping[str, Any]) -> Any:
    """Build the client that Feast would build; timeouts in the connection string override `waits`."""
    return _build(options, waits, (redis.Redis, RedisCluster, ClusterNode, Sentinel))


def connect_async(options: Mapping[str, Any], waits: Mapping[str, Any]) -> Any:
    """Build the same for asyncio; it belongs to the event loop that uses it first."""
    return _build(options, waits, (redis_asyncio.Redis, redis_asyncio.RedisCluster, AsyncClusterNode, AsyncSentinel))


def _build(options: Mapping[str, Any], waits: Mapping[str, Any], classes: tuple[Any, Any, Any, Any]) -> Any:
    one, cluster, node, sentinel = classes  # untyped in redis-py
    servers, found = read_connection(connection_of(options))
    require_files(found)
    settings = {**waits, **found}
    kind = options.get("redis_type", "redis")
    if kind == "redis_cluster":
        return cluster(startup_nodes=[node(host, port) for host, port in servers], **settings)
    if kind == "redis_sentinel":
        return sentinel(servers, **settings).master_for(options.get("sentinel_master", "mymaster"))
    (host, port), *_ = servers
    with options_are_taken():
        return one(host=host, port=port, **settings)
