"""The newest embedding of each series in Redis, byte for byte where Feast's own Redis store keeps it.

In: `EmbeddingBatch`es, and the `online_store` section of a Feast config. Out: hashes that every stock Feast reader can
read. Feast reads the stored time and then writes, so two writers can leave the older vector; here one script compares
and sets, for a chunk of keys at a time. One field of each hash is ours: when the row was delivered, which decides
between rows of one event time. Never imports Feast.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.retry import Retry
from redis.sentinel import Sentinel

from schemas import feast_bytes
from schemas.embeddings import EmbeddingBatch
from workers.adapters.redis_address import SETTING, WAITS, read_connection
from workers.adapters.redis_faults import connection_of, require_files, require_language, translated
from workers.core.errors import Refused
from workers.core.readable import readable
from workers.logs import say

log = logging.getLogger(__name__)

CHUNK = 64
"""Keys of one script call: Redis serves others between two chunks."""

ORDER = "_order"
"""Its field is named as a feature's is, and no feature's name begins with an underscore: Feast asks for none of it."""

# A Timestamp is two varints, seconds and nanos. A negative number of seconds takes ten bytes of two's complement, too
# wide for Lua's doubles, so its complement is summed as well. An order is `created_us`, eight bytes, big-endian, and
# behind it the time of the row that it belongs to: beside a row of somebody else's it is void, and such a row comes
# before all others of its time, as one of an earlier version does.
# ARGV: seconds to live, the field of the order, m, the m fields of Feast's, then of each key `created_us` and the m
# values; the first of those is the time.
SCRIPT = """
local function varint(text, at)
  local value, inverse, scale = 0, 0, 1
  for i = at, at + 8 do
    local byte = text:byte(i)
    if not byte then return 0, i end
    local low = byte % 128
    value = value + low * scale
    inverse = inverse + (127 - low) * scale
    scale = scale * 128
    if byte < 128 then return value, i + 1 end
  end
  return -inverse - 1, at + 10
end
local function decode(text)
  local seconds, nanos, at = 0, 0, 1
  if text:byte(at) == 8 then seconds, at = varint(text, at + 1) end
  if text:byte(at) == 16 then nanos = varint(text, at + 1) end
  return seconds, nanos
end
local function is_later(time, created, held, order)
  local high, low, held_high, held_low
  if not held then return true end
  if time ~= held then
    high, low = decode(time)
    held_high, held_low = decode(held)
  else
    if not order or #order < 8 or order:sub(9) ~= held then return true end
    high, low = struct.unpack('>I4I4', created)
    held_high, held_low = struct.unpack('>I4I4', order)
  end
  return high > held_high or (high == held_high and low > held_low)
end
local ttl, order, m = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local written, alien = 0, {}
for k, key in ipairs(KEYS) do
  local at = 3 + m + (k - 1) * (m + 1)
  local created, time = ARGV[at + 1], ARGV[at + 2]
  local held = redis.pcall('HMGET', key, ARGV[4], order)
  if held.err then
    if not held.err:find('WRONGTYPE') then return held end
    alien[#alien + 1] = k
  elseif is_later(time, created, held[1], held[2]) then
    local fields = {order, created .. time}
    for f = 1, m do
      fields[2 * f + 1], fields[2 * f + 2] = ARGV[3 + f], ARGV[at + 1 + f]
    end
    redis.call('HSET', key, unpack(fields))
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
    written = written + 1
  end
end
return {written, unpack(alien)}
"""
"""Returns how many keys it has written, and the numbers of those, from 1, that hold something else than a hash."""

MAKE_ROOM = "if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return redis.call('DEL', KEYS[1]) end return 0"
SHOWN = 3

# redis-py would wait for ever. One retry finds a connection closed while idle; waiting longer is the caller's.
_WRITE: Mapping[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 5, "retry": Retry(NoBackoff(), 1)}


class RedisOnline:
    """An `OnlineSink` for `type: redis`, be it one server, a cluster or behind sentinels. One thread at a time."""

    def __init__(self, *, options: Mapping[str, Any], project: str, view: str, replaces: bool = False) -> None:
        """Take Feast's `online_store` options, its project, and the view's name in the store; connect at first use.

        Where somebody else keeps something at a series' key that is no hash, `replaces` lets us delete it; otherwise it
        stays, that series is not written, and a warning names it.
        """
        self._options = options
        self._project = project.encode()
        self._view = view
        self._ttl = int(options.get("key_ttl_seconds") or 0)
        self._replaces = replaces
        self._told: set[bytes] = set()
        self._client: Any = None
        self._sha = ""

    def write(self, batch: EmbeddingBatch) -> int:
        """Write what is newer than Redis holds; see `OnlineSink`."""
        keys = self._keys(batch)
        if len(set(keys)) < len(keys):
            batch = batch.newest_per_series()
            keys = self._keys(batch)
        if not keys:
            return 0
        created = batch.created_us.astype(">u8").tobytes()
        columns = [
            [created[at : at + 8] for at in range(0, len(created), 8)],
            feast_bytes.timestamps(batch.event_us),
            *map(feast_bytes.float_lists, batch.features.values()),
        ]
        fields = [
            feast_bytes.timestamp_field(self._view),
            *(feast_bytes.redis_field(self._view, name) for name in batch.features),
        ]
        head: list[Any] = [self._ttl, feast_bytes.redis_field(self._view, ORDER), len(fields), *fields]
        rows = list(zip(*columns, strict=True))
        with translated(self._options, f"write view {self._view}"):
            chunks = _chunks(keys, by_slot=self._connect())
            calls = [
                (len(chunk), *(keys[i] for i in chunk), *head, *(value for i in chunk for value in rows[i]))
                for chunk in chunks
            ]
            written, alien = self._run(calls)
            if alien and self._replaces:
                for key in alien:
                    self._client.eval(MAKE_ROOM, 1, key)
                written += self._run([call for call in calls if alien & {*_keys_of(call)}])[0]
        if fresh := alien - self._told:
            self._told |= fresh
            self._tell_of([row for row, key in enumerate(keys) if key in fresh], keys, batch)
        return written

    def check(self) -> None:
        """Raise `Unavailable` or `Refused` if a write would, as far as can be seen without one."""
        once = {**WAITS, "retry": Retry(NoBackoff(), 0)}
        servers, found = read_connection(connection_of(self._options))
        if self._options.get("redis_type") != "redis_sentinel":  # those speak without TLS of servers with it
            require_language(servers, found)
        with (
            translated(self._options, f"write view {self._view}"),
            contextlib.closing(_client(self._options, once)) as client,
        ):
            with _options_are_taken():
                client.script_load(SCRIPT)
            client.ping()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _keys(self, batch: EmbeddingBatch) -> list[bytes]:
        return [key + self._project for key in feast_bytes.entity_keys(batch.series)]

    def _connect(self) -> bool:
        """Make sure that there is a client; return whether it is a cluster's."""
        if self._client is None:
            self._client = _client(self._options, _WRITE)
        if not self._sha:
            with _options_are_taken():
                self._sha = self._client.script_load(SCRIPT)
        return isinstance(self._client, RedisCluster)

    def _tell_of(self, rows: Sequence[int], keys: Sequence[bytes], batch: EmbeddingBatch) -> None:
        """Warn of keys that hold what is not ours."""
        of = [", ".join(f"{name}={ids[row]}" for name, ids in batch.series.items()) for row in rows[:SHOWN]]
        names = [f"{keys[row].decode('utf-8', 'backslashreplace')} ({ids})" for row, ids in zip(rows, of, strict=False)]
        what = (
            "was replaced (feast.replace_alien_keys)"
            if self._replaces
            else "stays, and their vectors are in the offline log alone: delete it and let undertow rebuild write "
            "them, or set feast.replace_alien_keys"
        )
        text = (
            f"{len(rows)} series have keys in Redis that hold something else than a hash, which {what}: "
            f"{readable('; '.join(names))}{', ...' if len(rows) > SHOWN else ''}"
        )
        say(log, logging.WARNING, "alien-keys", text, count=len(rows), keys=names)

    def _run(self, calls: Sequence[tuple[Any, ...]]) -> tuple[int, set[bytes]]:
        """Send all calls in one pipeline; once more those that met a server which has lost the script.

        Return how many keys were written, and those that hold what is not ours.
        """
        replies = self._send(calls)
        lost = [
            call
            for call, reply in zip(calls, replies, strict=True)
            if isinstance(reply, redis.exceptions.NoScriptError)
        ]
        pairs = [
            pair for pair in zip(calls, replies, strict=True) if not isinstance(pair[1], redis.exceptions.NoScriptError)
        ]
        if lost:  # restarted, failed over, or SCRIPT FLUSH
            self._client.script_load(SCRIPT)
            pairs += zip(lost, self._send(lost), strict=True)
        written, alien = 0, set[bytes]()
        for call, reply in pairs:
            if isinstance(reply, Exception):
                raise reply
            count, *numbers = reply
            written += count
            alien |= {_keys_of(call)[number - 1] for number in numbers}
        return written, alien

    def _send(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command("EVALSHA", self._sha, *call)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies


def _keys_of(call: tuple[Any, ...]) -> Sequence[bytes]:
    return call[1 : 1 + int(call[0])]


@contextlib.contextmanager
def _options_are_taken() -> Iterator[None]:
    """Raise `Refused` for what redis-py stumbles over in a way of its own."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        # The text is not repeated: it may show a value.
        message = (
            f"{SETTING}: redis-py does not take the options there ({type(error).__name__}): compare with its manual"
        )
        raise Refused(message) from None


def _client(options: Mapping[str, Any], waits: Mapping[str, Any]) -> Any:
    """Build what Feast would build; what the connection says of how long to wait comes first."""
    servers, found = read_connection(connection_of(options))
    require_files(found)
    settings = {**waits, **found}
    kind = options.get("redis_type", "redis")
    node: Any = ClusterNode  # redis-py does not type what these two take
    sentinel: Any = Sentinel
    if kind == "redis_cluster":
        return RedisCluster(startup_nodes=[node(host, port) for host, port in servers], **settings)
    if kind == "redis_sentinel":
        return sentinel(servers, **settings).master_for(options.get("sentinel_master", "mymaster"))
    (host, port), *_ = servers
    with _options_are_taken():
        return redis.Redis(host=host, port=port, **settings)


def _chunks(keys: Sequence[bytes], *, by_slot: bool) -> list[Sequence[int]]:
    """Cut the rows into script calls; the keys of one call to a cluster must share their hash slot."""
    groups: dict[int, list[int]] = {}
    if by_slot:
        for row, key in enumerate(keys):
            groups.setdefault(key_slot(key), []).append(row)
    else:
        groups[0] = list(range(len(keys)))
    return [group[begin : begin + CHUNK] for group in groups.values() for begin in range(0, len(group), CHUNK)]
