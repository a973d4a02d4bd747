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

from undertow.adapters import feast_bytes
from undertow.adapters.redis_address import SETTING, WAITS, read_connection
from undertow.adapters.redis_faults import connection_of, require_files, require_language, translated
from undertow.adapters.redis_script import MAKE_ROOM, SCRIPT
from undertow.adapters.redis_tally import Command, RedisTally, tally_of
from undertow.core.errors import Refused
from undertow.core.readable import readable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream.store_tally import OnLoss, TallyChecker
from undertow.telemetry.logs import say

log = logging.getLogger(__name__)

CHUNK = 64
"""Keys of one script call: Redis serves others between two chunks."""

ORDER = "_order"
"""Its field is named as a feature's is, and no feature's name begins with an underscore: Feast asks for none of it."""

SHOWN = 3

# redis-py would wait for ever. One retry finds a connection closed while idle; waiting longer is the caller's.
_WRITE: Mapping[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 5, "retry": Retry(NoBackoff(), 1)}


class RedisOnline:
    """An `OnlineSink` for `type: redis`, be it one server, a cluster or behind sentinels. One thread at a time."""

    def __init__(
        self,
        *,
        options: Mapping[str, Any],
        project: str,
        view: str,
        replace_alien_keys: bool = False,
        on_loss: OnLoss | None = None,
    ) -> None:
        """Take Feast's `online_store` options, its project, and the view's name in the store; connect at first use.

        Where somebody else keeps something at a series' key that is no hash, `replace_alien_keys` lets us delete it;
        otherwise it stays, that series is not written, and a warning names it. `on_loss` is told where Redis no longer
        holds what was written: see `undertow.stream.store_tally`.
        """
        self._options = options
        self._project = project.encode()
        self._view = view
        self._ttl = int(options.get("key_ttl_seconds") or 0)
        self._replace_alien_keys = replace_alien_keys
        self._told: set[bytes] = set()
        self._client: Any = None
        self._sha = ""
        self._tally_checker = TallyChecker(on_loss) if on_loss else None

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
            if alien and self._replace_alien_keys:
                for key in alien:
                    self._client.eval(MAKE_ROOM, 1, key)
                written += self._run([call for call in calls if alien & {*_keys_of(call)}])[0]
        if fresh := alien - self._told:
            self._told |= fresh
            self._tell_of([row for row, key in enumerate(keys) if key in fresh], keys, batch)
        return written

    def look(self) -> None:
        """Tell `on_loss` where Redis no longer holds what was written."""
        if self._tally_checker is not None:
            with translated(self._options, f"look at view {self._view}"):
                self._connect()
                tally = self._tally(self._tally_checker.name)
                self._tally_checker.judge(tally.read(), tally, has_written=False)

    def restored(self, claim: str) -> None:
        """Note that what was lost is there again."""
        with translated(self._options, f"look at view {self._view}"):
            self._connect()
            self._tally().restored(claim)

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

    def _tally(self, writer: str = "") -> RedisTally:
        return RedisTally(self._client, self._project.decode(), self._view, writer)

    def _tell_of(self, rows: Sequence[int], keys: Sequence[bytes], batch: EmbeddingBatch) -> None:
        """Warn of keys that hold what is not ours."""
        of = [", ".join(f"{name}={ids[row]}" for name, ids in batch.series.items()) for row in rows[:SHOWN]]
        names = [f"{keys[row].decode('utf-8', 'backslashreplace')} ({ids})" for row, ids in zip(rows, of, strict=False)]
        what = (
            "was replaced (feast.replace_alien_keys)"
            if self._replace_alien_keys
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
        tally = self._tally(self._tally_checker.name) if self._tally_checker else None
        found = self._send(calls, tally.count if tally else ())
        replies, shown = found[: len(calls)], found[len(calls) :]
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
        if self._tally_checker and tally:
            self._tally_checker.judge(tally_of(shown), tally, has_written=True)
        return written, alien

    def _send(self, calls: Sequence[tuple[Any, ...]], behind: Sequence[Command] = ()) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command("EVALSHA", self._sha, *call)
            for command in behind:
                pipeline.execute_command(*command)
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
