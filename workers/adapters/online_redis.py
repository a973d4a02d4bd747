"""The newest embedding of each series in Redis, byte for byte where Feast's own Redis store keeps it.

In: `EmbeddingBatch`es, and the `online_store` section of a Feast config. Out: hashes that every stock Feast reader can
read. Feast reads the stored time and then writes, so two writers can leave the older vector; here one script compares
and sets, for a chunk of keys at a time. One field of each hash is ours: when the row was delivered, which decides
between rows of one event time. Never imports Feast.
"""

import contextlib
import re
import ssl
import textwrap
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
from workers.adapters.redis_address import SETTING, WAITS, address, read_connection, secrets_of
from workers.core.errors import Refused, Unavailable
from workers.core.masking import without

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
    if not order or order:sub(9) ~= held then return true end
    high, low = struct.unpack('>I4I4', created)
    held_high, held_low = struct.unpack('>I4I4', order)
  end
  return high > held_high or (high == held_high and low > held_low)
end
local ttl, order, m = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local written = 0
for k, key in ipairs(KEYS) do
  local at = 3 + m + (k - 1) * (m + 1)
  local created, time = ARGV[at + 1], ARGV[at + 2]
  local held = redis.call('HMGET', key, ARGV[4], order)
  if is_later(time, created, held[1], held[2]) then
    local fields = {order, created .. time}
    for f = 1, m do
      fields[2 * f + 1], fields[2 * f + 2] = ARGV[3 + f], ARGV[at + 1 + f]
    end
    redis.call('HSET', key, unpack(fields))
    if ttl > 0 then redis.call('EXPIRE', key, ttl) end
    written = written + 1
  end
end
return written
"""

_PASSING = re.compile(r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN)\b")
"""States of a server that pass, or that its operator mends. Inside a script the code stands within the text."""
_PASSING_ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.ClusterError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.RedisClusterException,  # no node of the cluster answers
    redis.exceptions.TryAgainError,
)
# redis-py would wait for ever. One retry finds a connection closed while idle; waiting longer is the caller's.
_WRITE: Mapping[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 5, "retry": Retry(NoBackoff(), 1)}


class RedisOnline:
    """An `OnlineSink` for `type: redis`, be it one server, a cluster or behind sentinels. One thread at a time."""

    def __init__(self, *, options: Mapping[str, Any], project: str, view: str) -> None:
        """Take Feast's `online_store` options, its project, and the view's name in the store; connect at first use."""
        self._options = options
        self._project = project.encode()
        self._view = view
        self._ttl = int(options.get("key_ttl_seconds") or 0)
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
        with self._translated():
            chunks = _chunks(keys, by_slot=self._connect())
            calls = [
                (len(chunk), *(keys[i] for i in chunk), *head, *(value for i in chunk for value in rows[i]))
                for chunk in chunks
            ]
            return self._run(calls)

    def check(self) -> None:
        """Raise `Unavailable` or `Refused` if a write would, as far as can be seen without one."""
        once = {**WAITS, "retry": Retry(NoBackoff(), 0)}
        with self._translated(), contextlib.closing(_client(self._options, once)) as client:
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
            self._sha = self._client.script_load(SCRIPT)
        return isinstance(self._client, RedisCluster)

    def _run(self, calls: Sequence[tuple[Any, ...]]) -> int:
        """Send all calls in one pipeline; once more those that met a server which has lost the script."""
        replies = self._send(calls)
        lost = [
            call
            for call, reply in zip(calls, replies, strict=True)
            if isinstance(reply, redis.exceptions.NoScriptError)
        ]
        replies = [reply for reply in replies if not isinstance(reply, redis.exceptions.NoScriptError)]
        if lost:  # restarted, failed over, or SCRIPT FLUSH
            self._client.script_load(SCRIPT)
            replies += self._send(lost)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return sum(replies)

    def _send(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command("EVALSHA", self._sha, *call)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        servers, _ = read_connection(_connection(self._options))
        where = f"Redis at {address(servers)} ({SETTING})"
        try:
            yield
        except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as error:
            said = self._without_secrets(error)
            message = f"{where} refuses the login: {said}. See username= and password= there."
            raise Refused(message) from None
        except (redis.RedisError, redis.exceptions.RedisClusterException, OSError) as error:
            reason = textwrap.shorten(self._without_secrets(error), 200)  # redis-py shows whole clients in some
            if _is_untrusted(error):
                message = f"{where}: its certificate is not trusted: {reason} (ssl_ca_certs= names the authorities)"
                raise Refused(message) from error
            if isinstance(error, (*_PASSING_ERRORS, OSError)) or _PASSING.search(str(error)):
                message = f"{where} does not take writes now: {type(error).__name__}: {reason}"
                raise Unavailable(message) from error
            message = f"{where} refuses to write view {self._view}: {reason}"
            raise Refused(message) from error

    def _without_secrets(self, error: BaseException) -> str:
        return without(str(error), secrets_of(_connection(self._options)))


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether a certificate was the reason; redis-py raises its own error from it."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _connection(options: Mapping[str, Any]) -> str:
    return str(options.get("connection_string", "")) or "localhost:6379"


def _client(options: Mapping[str, Any], waits: Mapping[str, Any]) -> Any:
    """Build what Feast would build; what the connection says of how long to wait comes first."""
    servers, found = read_connection(_connection(options))
    settings = {**waits, **found}
    kind = options.get("redis_type", "redis")
    node: Any = ClusterNode  # redis-py does not type what these two take
    sentinel: Any = Sentinel
    if kind == "redis_cluster":
        return RedisCluster(startup_nodes=[node(host, port) for host, port in servers], **settings)
    if kind == "redis_sentinel":
        return sentinel(servers, **settings).master_for(options.get("sentinel_master", "mymaster"))
    (host, port), *_ = servers
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
