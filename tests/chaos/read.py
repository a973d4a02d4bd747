"""Read back what a run left behind, and look at the online store while it goes on.

In: a world. Out: what `check` compares, whether probes are readable, how often readers saw time go backwards. Knows
nothing of faults.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore
from redis import RedisError

from tests.chaos.broker import Broker
from tests.chaos.check import Offline, Truth
from tests.chaos.history import TOPIC_ID, open_snapshot, read_rows, read_told
from tests.chaos.places import Part
from tests.chaos.windows import BEGIN_US, SITES, STEP_US, events_of, windows_of
from tests.chaos.world import World
from undertow.settings.sections import FeastSettings
from undertow.wiring.root import open_embed

SITE_NAMES = [f"s{index:03d}" for index in range(SITES)]
CHUNK, LOOK_EVERY_S = 4096, 0.25


class Online:
    """The online store as Feast's readers see it."""

    def __init__(self, feast: FeastSettings) -> None:
        """Open the repository."""
        self._store = FeatureStore(repo_path=str(feast.repo), fs_yaml_file=feast.repo / feast.config)
        self._service = self._store.get_feature_service("sites")

    def read(self, sites: Iterable[str]) -> dict[str, tuple[int, np.ndarray]]:
        """Return event and vector of each site that has any."""
        rows = [{"site": site} for site in sites]
        found = self._store.get_online_features(self._service, entity_rows=rows).to_dict(include_event_timestamps=True)
        return {
            row["site"]: (round((at * 1_000_000 - BEGIN_US) / STEP_US), np.array(vector, np.float32))
            for row, at, vector in zip(rows, found["embedding__ts"], found["embedding"], strict=True)
            if vector is not None
        }

    def shows(self, probes: Mapping[str, int]) -> bool:
        """Whether all of these, or newer ones, are readable; not while the store does not answer."""
        try:
            found = self.read(probes)
        except (RedisError, OSError):
            return False
        return all(site in found and found[site][0] >= event for site, event in probes.items())


class Watcher:
    """A thread that reads every site again and again, and counts where event time goes backwards.

    Whenever the store has lost everything, time may begin again: `emptied` says how often.
    """

    def __init__(self, online: Online, emptied: Callable[[], int]) -> None:
        self._online, self._emptied, self._stop = online, emptied, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.looks, self.backwards = 0, 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        newest: dict[str, int] = {}
        emptied = 0
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                found = self._online.read(SITE_NAMES)
            except (RedisError, OSError):
                continue
            if self._emptied() != emptied:
                emptied, newest = self._emptied(), {}
                continue
            self.looks += 1
            for site in newest.keys() | found.keys():
                event = found[site][0] if site in found else -1  # a site that was there and is not goes backwards too
                self.backwards += event < newest.get(site, -1)
                newest[site] = event


def read_online(online: Online) -> dict[str, np.ndarray]:
    """Return the vector of every site, when the store answers."""
    while True:
        try:
            return {site: vector for site, (_, vector) in online.read(SITE_NAMES).items()}
        except (RedisError, OSError):
            time.sleep(LOOK_EVERY_S)


def read_truth(world: World, last: int) -> Truth:
    """Take in what the topic holds, and embed every number directly, without a fleet."""
    broker: Broker = world.broker
    broker.look()
    embed = open_embed(world.recipe.artifacts[0])
    ranges = [range(first, min(first + CHUNK, last + 1)) for first in range(0, last + 1, CHUNK)]
    return Truth(
        windows=broker.numbers,
        poison=frozenset(broker.poison),
        skipped=frozenset(place for one in broker.planted if one.skipped for place in one.places),
        deleted=broker.deleted,
        gone=broker.gone,
        vectors=np.concatenate([embed(windows_of(one)).embeddings.features["embedding"] for one in ranges]),
        sites=np.array([f"s{number % SITES:03d}" for number in range(last + 1)], object),
        events=events_of(range(last + 1)),
    )


def read_history(world: World) -> tuple[pa.Table, pa.Table]:
    """Return all rows of the history: those that records gave rise to, and those that were backfilled."""
    rows = read_rows(open_snapshot(world.log_space()))
    is_backfilled = pc.is_null(rows["origin_partition"])
    return rows.filter(pc.invert(is_backfilled)), rows.filter(is_backfilled)


def read_offline(world: World, table: pa.Table) -> Offline:
    """Return these rows of the history, and what the parts that they came from say of themselves.

    The table does not tell the topic of a row: `created` does, since a record's is later than its topic.
    """
    space, broker = world.log_space(), world.broker
    frame = table.drop_columns(["embedding", "window"]).to_pandas()
    created = _micros(frame["created"])
    by_topic = {topic_id: broker.generation_of(topic_id) for topic_id in frame[TOPIC_ID].dropna().unique()}
    by_time = pd.Series([broker.generation_at(us) for us in created.tolist()])
    return Offline(
        sites=frame["site"].to_numpy(object),
        events=(_micros(frame["event_timestamp"]) - BEGIN_US) // STEP_US,
        created=created,
        partitions=frame["origin_partition"].to_numpy(np.int64),
        offsets=frame["origin_offset"].to_numpy(np.int64),
        generations=frame[TOPIC_ID].map(by_topic).fillna(by_time).to_numpy(np.int64),
        vectors=_vectors(table, "embedding"),
        numbers=_vectors(table, "window"),
        parts=tuple(
            Part(
                partition=one.partition,
                generation=broker.generation_of(one.topic_id),
                first=one.first,
                next=one.next,
                lost=one.lost,
            )
            for one in read_told(space)
        ),
    )


def _vectors(table: pa.Table, name: str) -> np.ndarray:
    found = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return found.reshape(len(table), -1).astype(np.float32)


def _micros(times: pd.Series) -> np.ndarray:
    return times.astype("datetime64[us, UTC]").astype("int64").to_numpy()
