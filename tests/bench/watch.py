"""The watcher: a process that is neither fleet nor store and sees when windows become readable.

In: a load, and where the store keeps what, as a line of JSON; when the load begins, as another. Out: a line
`window milliseconds` for each watched window, with the time at which its event time, or a later one of its series, was
read from the online store. Knows no fleet.

The oldest of the watched windows that are due and not yet there are asked for in one round trip, about every two
milliseconds: all of them would be a load that grows where a fleet falls behind, and keeps it from catching up.
"""

import json
import sys
import time
from itertools import islice

import redis
from data import end_of, name_of
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from load import PAUSE_S, WATCH_EVERY, Load, begin

LATEST_S = 30.0
AT_ONCE = 64


def watch(load: Load, server: str, project: str, field: str) -> None:
    """Watch until all are readable."""
    client = redis.Redis.from_url(f"redis://{server}")
    outstanding: dict[int, tuple[bytes, float]] = {}  # window: its key and its event time
    load = begin(load, sys.stdin.buffer)
    upcoming = -(-load.first // WATCH_EVERY) * WATCH_EVERY
    give_up_at = load.began_at + (load.last - load.first) / load.rate + LATEST_S
    while upcoming < load.last or outstanding:
        due = load.due(time.time())
        while upcoming < due:
            outstanding[upcoming] = key_of(project, upcoming), end_of(upcoming).timestamp()
            upcoming += WATCH_EVERY
        if outstanding:
            pipeline = client.pipeline(transaction=False)
            asked = list(islice(outstanding.items(), AT_ONCE))
            for _, (key, _) in asked:
                pipeline.hget(key, field)
            answers, now = pipeline.execute(), time.time()
            for (number, (_, end)), stored in zip(asked, answers, strict=True):
                if stored and Timestamp.FromString(stored).seconds >= end:
                    del outstanding[number]
                    print(number, 1000 * now, flush=True)
        assert time.time() < give_up_at, f"never readable: windows {sorted(outstanding)[:8]}"
        time.sleep(PAUSE_S)


def key_of(project: str, number: int) -> bytes:
    """Return where Feast keeps the series of a window."""
    entity = EntityKey(join_keys=["series"], entity_values=[Value(string_val=name_of(number))])
    return _redis_key(project, entity, entity_key_serialization_version=3)


if __name__ == "__main__":
    given, *where = json.loads(sys.stdin.readline())
    watch(Load(**given), *where)
