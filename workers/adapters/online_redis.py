"""Write embeddings online to Redis, byte for byte in the layout of Feast's own Redis store.

In: `EmbeddingBatch`es, and the `online_store` section of a Feast config. Out: hashes that every stock Feast reader can
read. Knows no Feast: it is never imported.

Feast reads the stored time and then writes, so two writers can leave the older vector. Here a Lua script does a
compare-and-set, for a chunk of keys at a time. One field of each hash is ours: the time of delivery, which decides
between rows with the same event time.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.crc import key_slot
from redis.retry import Retry

from undertow.adapters import feast_bytes
from undertow.adapters.redis_address import WAITS, read_connection
from undertow.adapters.redis_client import connect, options_are_taken
from undertow.adapters.redis_faults import connection_of, require_language, translated
from undertow.adapters.redis_script import MAKE_ROOM, SCRIPT
from undertow.adapters.redis_tally import Command, RedisTally, tally_of
from undertow.core.readable import readable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.windows import Values
from undertow.stream.store_tally import OnLoss, TallyChecker
from undertow.telemetry.logs import say

log = logging.getLogger(__name__)

CHUNK = 64
"""Keys of one script call. Redis serves other clients between two calls. 64 is a choice."""

FORGET_KEYS = 1000
"""Keys of one pipeline that deletes. A choice."""

ORDER = "_order"
"""The field with the time of delivery is named like a feature's. Feast never reads it, since no feature's name begins
with an underscore."""

SHOWN = 3

# redis-py's default is to wait for ever. One retry covers a connection closed while idle; the caller does the rest.
_WRITE: Mapping[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 5, "retry": Retry(NoBackoff(), 1)}


class RedisOnline:
    """An `OnlineSink` for `type: redis`: one server, a cluster, or behind sentinels. One thread at a time."""

    def __init__(
        self,
        *,
        options: Mapping[str, Any],
        project: str,
        view: str,
        replace_alien_keys: bool = False,
        on_loss: OnLoss | None = None,
    ) -> None:
        """Take the settings; connect at first use.

        `options`: Feast's `online_store` section. `project`: Feast's project. `view`: the view's name in the store.
        `replace_alien_keys`: whether to delete a foreign value at a series' key that is not a hash. If not, it stays,
        the series is not written, and a warning names the key.
        `on_loss`: called if Redis has lost written data (`undertow.stream.store_tally`).
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
        """Write the rows that are newer than those in Redis; see `OnlineSink`."""
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
        """Call `on_loss` if Redis has lost written data."""
        if self._tally_checker is not None:
            with translated(self._options, f"look at view {self._view}"):
                self._connect()
                tally = self._tally(self._tally_checker.name)
                self._tally_checker.judge(tally.read(), tally, has_written=False)

    def restored(self, claim: str) -> None:
        """Mark the loss of this claim as restored."""
        with translated(self._options, f"look at view {self._view}"):
            self._connect()
            self._tally().restored(claim)

    def count_held(self, series: Mapping[str, Values], features: Sequence[str]) -> int:
        """Return how many of these series have values of this view."""
        return self._ask_each("HEXISTS", series, [[field] for field in self._fields(features)])

    def forget(self, series: Mapping[str, Values], features: Sequence[str]) -> int:
        """Delete the values of these series, all of one at once; return how many had any. Other views' stay.

        The tally counts writes, so nobody takes this for a loss.
        """
        return self._ask_each("HDEL", series, [self._fields(features)])

    def check(self) -> None:
        """Raise `Unavailable` or `Refused` if a write would, as far as that is known without one."""
        once = {**WAITS, "retry": Retry(NoBackoff(), 0)}
        servers, found = read_connection(connection_of(self._options))
        if self._options.get("redis_type") != "redis_sentinel":  # whose sentinels may have no TLS
            require_language(servers, found)
        with (
            translated(self._options, f"write view {self._view}"),
            contextlib.closing(connect(self._options, once)) as client,
        ):
            with options_are_taken():
                client.script_load(SCRIPT)
            client.ping()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _keys(self, batch: EmbeddingBatch) -> list[bytes]:
        return [key + self._project for key in feast_bytes.entity_keys(batch.series)]

    def _fields(self, features: Sequence[str]) -> list[bytes]:
        names = (ORDER, *features)
        return [feast_bytes.timestamp_field(self._view), *(feast_bytes.redis_field(self._view, one) for one in names)]

    def _ask_each(self, command: str, series: Mapping[str, Values], asked: Sequence[Sequence[bytes]]) -> int:
        """Send a command for each series and each list of fields; return for how many series one answered above 0."""
        keys = [key + self._project for key in feast_bytes.entity_keys(series)]
        found = 0
        with translated(self._options, f"forget series of view {self._view}"):
            self._connect()
            for begin in range(0, len(keys), FORGET_KEYS):
                some = keys[begin : begin + FORGET_KEYS]
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in some:
                        for fields in asked:
                            pipeline.execute_command(command, key, *fields)
                    replies = pipeline.execute(raise_on_error=False)
                for reply in replies:
                    if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):  # another program's value
                        raise reply
                numbers = [0 if isinstance(reply, Exception) else int(reply) for reply in replies]
                found += sum(any(numbers[at : at + len(asked)]) for at in range(0, len(numbers), len(asked)))
        return found

    def _connect(self) -> bool:
        """Create the client if need be; return whether it is a cluster's."""
        if self._client is None:
            self._client = connect(self._options, _WRITE)
        if not self._sha:
            with options_are_taken():
                self._sha = self._client.script_load(SCRIPT)
        return isinstance(self._client, RedisCluster)

    def _tally(self, writer: str = "") -> RedisTally:
        return RedisTally(self._client, self._project.decode(), self._view, writer)

    def _tell_of(self, rows: Sequence[int], keys: Sequence[bytes], batch: EmbeddingBatch) -> None:
        """Warn of keys with foreign values."""
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
        """Send all calls in one pipeline; repeat those that reached a server without the script.

        Return how many keys were written, and which keys have foreign values.
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
        if lost:  # the server was restarted or failed over, or SCRIPT FLUSH
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


def _chunks(keys: Sequence[bytes], *, by_slot: bool) -> list[Sequence[int]]:
    """Split the rows into script calls; in a cluster, the keys of one call must share a hash slot."""
    groups: dict[int, list[int]] = {}
    if by_slot:
        for row, key in enumerate(keys):
            groups.setdefault(key_slot(key), []).append(row)
    else:
        groups[0] = list(range(len(keys)))
    return [group[begin : begin + CHUNK] for group in groups.values() for begin in range(0, len(group), CHUNK)]
