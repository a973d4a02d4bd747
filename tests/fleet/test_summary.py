"""What a fleet has done outlives its replicas, in memory that does not grow with their number."""

import gc
import logging
import pickle
import tracemalloc
from dataclasses import replace

import numpy as np

from undertow.fleet.artifact_status import ArtifactStatus, fields_of
from undertow.fleet.show import line
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.fleet.summary import Summary
from undertow.schemas.records import Partition
from undertow.stream import histogram
from undertow.stream.counts import Counts
from undertow.stream.ports import Observed

ZERO = Partition("windows", 0)
BURIALS = 2_000
"""With 100,000 it passes as well, in 18 s."""


def a_replica(number):
    latency = histogram.empty()
    latency[number % 5] = 1
    part = ArtifactStatus(
        artifact=f"pumps__0000000{number % 2}",
        held=frozenset({ZERO}),
        lag={ZERO: 9},
        counts=Counts(
            records=3,
            windows=2,
            rejects={"number": 1},
            last_reject={"number": f"windows-0@{number}"},
            latency=latency,
        ),
        blocked="the store is away",
        durable_at=float(number),
    )
    return ReplicaStatus(name=f"replica-{number}", state="running", artifacts=(part,), **fields_of(part))


def test_the_counts_of_thousands_of_buried_replicas_take_the_place_of_a_few():
    summary = Summary()
    for number in range(10):
        summary.bury(a_replica(number))
    small = len(pickle.dumps(summary))
    for number in range(10, BURIALS):
        summary.bury(a_replica(number))
    assert len(pickle.dumps(summary)) < small + 200
    alive = [a_replica(7)]
    counts = summary.counts(alive)
    assert (counts.records, counts.windows) == (3 * (BURIALS + 1), 2 * (BURIALS + 1))
    assert counts.rejects == {"number": BURIALS + 1}
    assert counts.latency.sum() == BURIALS + 1
    assert counts.latency[2] == BURIALS // 5 + 1
    assert [(one.artifact[-1], one.counts.windows) for one in summary.artifacts(alive)] == [
        ("0", BURIALS),
        ("1", BURIALS + 2),
    ]


def test_what_waits_for_a_later_observation_is_kept_of_those_who_have_no_successor_alone():
    summary, held = Summary(), Observed(series=9, waiting=5, waiting_series=3)
    summary.bury(replace(a_replica(1), observed=held))
    assert summary.left == Observed()
    for number in (2, 3):
        summary.bury(replace(a_replica(number), observed=held), is_last=True)
    assert summary.left == held + held


def test_where_records_waited_in_the_topic_for_long_the_line_says_how_little_of_it_a_batch_takes():
    def said(seconds):
        latency = histogram.of(np.array([seconds] * 2))
        counts = Counts(windows=2, latency=latency, batches={64: 3, 1: 1}, embed_s=0.06, write_s=0.02)
        return line(
            FleetStatus(name="f", state="drained", replicas=(), wanted=0, partitions=0, counts=counts, failovers=0)
        )

    assert said(356.0).endswith(" s with their wait in the topic (embedding and writing a batch: 20 ms)")
    assert said(0.3).endswith(" ms")


def test_the_newest_reject_is_shown_first_of_the_living_then_of_those_buried_last():
    summary = Summary()
    summary.bury(a_replica(1))
    summary.bury(a_replica(2))
    assert summary.counts([]).last_reject == {"number": "windows-0@2"}
    assert summary.counts([a_replica(3)]).last_reject == {"number": "windows-0@3"}


def test_who_is_buried_holds_nothing_lags_behind_nothing_and_waits_for_nothing():
    summary = Summary()
    summary.bury(a_replica(0))
    (part,) = summary.artifacts([])
    assert (part.held, part.lag, part.blocked, part.durable_at) == (frozenset(), {}, None, None)
    alive = replace(a_replica(0), artifacts=(replace(a_replica(0).artifacts[0], durable_at=5.0),))
    (part,) = summary.artifacts([alive])
    assert (part.held, part.lag, part.durable_at) == ({ZERO}, {ZERO: 9}, 5.0)


def test_a_controller_keeps_nothing_of_each_of_its_dead(scene, caplog):
    caplog.set_level(logging.CRITICAL, logger="undertow.fleet.monitor")  # pytest keeps every line that is logged

    def die_and_be_replaced():
        scene.settle(rounds=2)
        name = max(scene.replicas.living, key=lambda n: int(n.rpartition("-")[2]))
        scene.replicas.work(name)
        scene.controller.tick()
        scene.replicas.die(name)
        scene.now += 60.0

    def allocated():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    for _ in range(50):
        die_and_be_replaced()
    before = allocated()
    for _ in range(200):
        die_and_be_replaced()
    scene.settle()
    grown = allocated() - before
    tracemalloc.stop()
    assert scene.controller.status().failovers == 250
    assert grown < 200 * histogram.empty().nbytes / 4
