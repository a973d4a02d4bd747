"""Raw observations, and whatever fails, wherever: each window is in the chain once, by the record that closed it."""

import contextlib
import json
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of
from tests.observations.streaming import plain_stream, plan_of
from tests.observations.test_meaning import KINDS
from undertow.adapters.memory_snapshots import MemoryForgetRequests, MemorySnapshots
from undertow.adapters.memory_source import Crash, MemorySource
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.embedding import Embedded
from undertow.core.errors import Replaced, Unavailable
from undertow.observations.spec import WindowSpec
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings
from undertow.stream.events import NotWarm, Snapshotted, Warmed
from undertow.stream.observing import ObservingSource
from undertow.wiring.observed_source import open_records

PARTITIONS = [Partition("windows", index) for index in range(2)]
BASE_US = 1_700_000_000_000_000
EVERY_US = 1_000_000
SPEC = WindowSpec(every="1s", fill="forward", max_gap="2s", lateness="2s", combine="mean")
CONTRACT = contract_of("flow", min_length=2)


def sums(windows):
    """The model of these tests: a window's length, and the sum of its numbers."""
    lengths = np.asarray(windows.lengths, np.float32)
    totals = np.array([part.sum() for part in np.split(windows.past["flow"], windows.starts[1:-1])], np.float32)
    embeddings = EmbeddingBatch(
        space="0" * 64,
        series=windows.series,
        event_us=windows.end_us,
        created_us=np.zeros(len(windows), np.int64),
        features={"embedding": np.stack([lengths, totals[: len(lengths)]], axis=1)},
    )
    return Embedded(embeddings=embeddings, rows=np.arange(len(windows)))


class Observed:
    """A world whose records hold observations."""

    def __init__(self, world, snapshots, *, every_s=0.0, spec=SPEC, held_path=None):
        self.world, self.snapshots, self.every_s, self.spec = world, snapshots, every_s, spec
        self.held_path, self.requests = held_path, MemoryForgetRequests()
        self.events, self.appended = [], {partition: [] for partition in PARTITIONS}

    def stream(self, *, polls=(), commits=(), max_batch=512, embed=sums, **given):
        made = self.world.stream(**given)
        series = StreamedSeries(plan_of(self.spec, CONTRACT), held_path=self.held_path)
        records = open_records(KafkaSettings(), series, self.events.append)
        inner = MemorySource(self.world.broker, records.decode, max_batch=max_batch, polls=polls, commits=commits)
        source = ObservingSource(
            inner,
            records,
            self.snapshots,
            self.requests,
            identity="one",
            snapshot_seconds=self.every_s,
            tell=self.events.append,
            places=made._offline.places,
            ticks=lambda: self.world.now,
        )
        made._source, made._embed, made._watch._online = source, embed, made._online
        return made

    def produce(self, partition, rows):
        """Append a record: (site, step, late by)."""
        step = len(self.appended[PARTITIONS[partition]])
        mine = [
            {
                "site": f"{site}{partition}",
                TIME: BASE_US + (step // 3 + ahead - behind) * EVERY_US,
                "flow": float(step + ahead),
            }
            for site, ahead, behind in rows
        ]
        self.appended[PARTITIONS[partition]].append(mine)
        self.world.broker.append(PARTITIONS[partition], json.dumps(mine).encode(), appended_us=BASE_US + step)

    def rows(self, partition):
        """What the chain has: (offset, site, end, length, sum), in order."""
        parts = self.world.chains.parts.get(partition, {})
        found = []
        for first in sorted(parts):
            batch, offsets = parts[first].embeddings, parts[first].offsets
            vectors = batch.features["embedding"].tolist() if len(batch) else []
            sites = batch.series["site"].tolist() if len(batch) else []
            found += zip(offsets.tolist(), sites, batch.event_us.tolist(), map(tuple, vectors), strict=True)
        return found

    def refused(self, partition):
        """Where records lie that were refused in quarantine, as the chain tells, and whether they were looked at."""
        parts = self.world.chains.parts.get(partition, {}).values()
        return {one.offset: one.is_seen for part in parts for one in part.refused}

    def expected(self, partition):
        refused = self.refused(partition)
        records = [[] if refused.get(at) is False else rows for at, rows in enumerate(self.appended[partition])]
        found, _, _ = plain_stream(records, self.spec, CONTRACT, KINDS, refused=refused)
        return [
            (offset, ids[0], int(end), (float(len(steps)), float(np.float32(sum(step["flow"] for step in steps)))))
            for offset, (ids, end, steps, _) in found
        ]


def reads_to_the_end(last):
    try:
        last.assign(PARTITIONS)
        while last.step():
            pass
        last.checkpoint()
        last.close()
    except Replaced:
        return False
    return True


def script(chance):
    """A few calls of each port, some of which crash or fail."""

    def step():
        return chance.choices([None, Crash(), Unavailable("away")], [12, 1, 1])[0]

    return {
        what: [step() for _ in range(chance.randint(0, 12))] for what in ("polls", "writes", "publishes", "commits")
    }


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 1 << 32))  # long stories matter: drawn piece by piece they would be short
def test_any_crashes_anywhere_give_each_window_once(new_world, seed):
    chance = random.Random(seed)
    held_path, every_s = chance.choice([None, Path(tempfile.gettempdir())]), chance.choice([0.0, 3.0, 1e9])
    observed = Observed(new_world(), MemorySnapshots(), every_s=every_s, held_path=held_path)
    zombies, poll, rows = [], chance.randint(1, 7), chance.randint(1, 9)

    def produce():
        for _ in range(chance.randint(0, 5)):
            sites = [
                (chance.choice("ab"), chance.randint(0, 4), chance.randint(0, 3)) for _ in range(chance.randint(1, 3))
            ]
            observed.produce(chance.randint(0, 1), sites)

    for _ in range(chance.randint(1, 5)):
        stream = observed.stream(**script(chance), max_batch=poll, checkpoint_rows=rows)
        try:
            stream.assign(chance.choice([PARTITIONS, PARTITIONS, PARTITIONS[:1]]))
            for _ in range(chance.randint(1, 12)):
                produce()
                stream.step()
                observed.world.now += 1.0
            if chance.random() < 0.3:
                stream.assign(PARTITIONS[1:])  # one is handed over
        except (Crash, Replaced):
            continue
        zombies.append(stream)
    produce()
    while not reads_to_the_end(observed.stream(max_batch=poll)):
        pass
    for zombie in zombies:
        with contextlib.suppress(Replaced, Crash):
            zombie.step()
            zombie.checkpoint()
    for partition in PARTITIONS:
        assert sorted(observed.rows(partition)) == sorted(observed.expected(partition))


@pytest.fixture
def observed(world, tmp_path):
    return Observed(world, WindowSnapshots(tmp_path))


def steady(observed, count, *, partition=0):
    for _ in range(count):
        observed.produce(partition, [("a", 0, 0), ("b", 1, 1)])


def told(observed, kind):
    return [event for event in observed.events if isinstance(event, kind)]


def test_who_takes_over_reads_what_came_since_the_newest_snapshot(observed):
    steady(observed, 30)
    assert reads_to_the_end(observed.stream())
    assert told(observed, Snapshotted)[-1].next == 30
    observed.every_s = 1e9  # from here on none is written
    steady(observed, 4)
    killed = observed.stream()
    killed.assign(PARTITIONS)
    killed.step()
    killed.checkpoint()
    steady(observed, 3)
    assert reads_to_the_end(observed.stream())
    assert [event.offsets for event in told(observed, Warmed)] == [4]
    assert observed.rows(PARTITIONS[0]) == observed.expected(PARTITIONS[0])


def test_without_a_snapshot_the_topic_is_read_from_its_beginning_and_nothing_is_made_again(observed):
    observed.every_s = 1e9
    steady(observed, 20)
    first = observed.stream()
    first.assign(PARTITIONS)
    while first.step():
        pass
    first.checkpoint()  # it is killed: it does not close
    steady(observed, 20)
    assert reads_to_the_end(observed.stream(max_batch=3))
    assert [event.offsets for event in told(observed, Warmed)] == [20]
    assert observed.rows(PARTITIONS[0]) == observed.expected(PARTITIONS[0])


def test_observations_that_retention_has_deleted_are_told_of(observed):
    observed.every_s = 1e9
    steady(observed, 20)
    first = observed.stream()
    first.assign(PARTITIONS)
    while first.step():
        pass
    first.checkpoint()
    observed.world.broker.retain(PARTITIONS[0], 15)
    assert reads_to_the_end(observed.stream())
    assert [(event.partition, event.offsets) for event in told(observed, NotWarm)] == [(PARTITIONS[0], 15)]
    assert [event.offsets for event in told(observed, Warmed)] == [5]


@pytest.mark.parametrize(("first", "lost"), [(15, 0), (22, 2)])  # within what was read before, and beyond it
def test_retention_that_overtakes_who_reads_once_more_is_told_of_and_what_was_never_read_is_a_gap(
    observed, first, lost
):
    observed.every_s = 1e9
    steady(observed, 20)
    before = observed.stream()
    before.assign(PARTITIONS)
    while before.step():
        pass
    before.checkpoint()
    steady(observed, 10)
    last = observed.stream(max_batch=3)
    source = last._source._source
    poll = source.poll

    def poll_and_delete(timeout_s, scope=None):
        delivery = poll(timeout_s, scope)
        observed.world.broker.retain(PARTITIONS[0], first)
        return delivery

    source.poll = poll_and_delete
    assert reads_to_the_end(last)
    assert [(event.partition, event.offsets) for event in told(observed, NotWarm)] == [(PARTITIONS[0], first - 3)]
    assert [event.offsets for event in told(observed, Warmed)] == [3 + max(0, 20 - first)]
    parts = observed.world.chains.parts[PARTITIONS[0]]
    assert [part.lost for part in parts.values() if part.lost] == ([lost] if lost else [])
