"""Raw observations with values that end who embeds them: the series of a refused record begin anew behind it."""

import contextlib
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observations.conftest import TIME
from tests.stream.test_observed_crashes import BASE_US, EVERY_US, PARTITIONS, SPEC, Observed, script, steady, sums, told
from undertow.adapters.memory_snapshots import MemorySnapshots
from undertow.adapters.memory_source import Crash
from undertow.core.errors import Replaced, Unavailable
from undertow.schemas.records import Record
from undertow.stream.events import BegunAnew, Snapshotted, Warmed
from undertow.stream.quarantine_order import QuarantineOrder
from undertow.stream.quarantine_reader import QuarantineReader

DEADLY, UNREADABLE = 1e6, b"whose mere reading ends a process"
ZERO = PARTITIONS[0]


class Death(Crash):
    """Of a process, by what it was given."""


def ends_at_deadly(windows):
    if (np.asarray(windows.past["flow"]) >= DEADLY).any():
        raise Death
    return sums(windows)


def ends_at_unreadable(read):
    def read_or_end(records):
        if any(record.value == UNREADABLE for record in records):
            raise Death
        return read(records)

    return read_or_end


class NoSnapshots(MemorySnapshots):
    """None is ever written: whoever takes a partition over reads it again."""

    def write(self, partition, after, content, *, stays):
        del partition, after, content, stays
        message = "the disk is full"
        raise Unavailable(message)


class Refusing(Observed):
    """A world where who dies at a record is asked where, and that record is refused from then on."""

    def __init__(self, world, snapshots, **given):
        super().__init__(world, snapshots, spec=replace(SPEC, combine="max"), **given)
        self.condemned = {partition: set() for partition in PARTITIONS}
        self.unseen, self.deaths = set(), 0

    def stream_in(self, order, **given):
        """A stream that reads both partitions in quarantine."""
        stream = super().stream(embed=ends_at_deadly, **given)
        stream._limits = replace(stream._limits, poll_timeout_s=0.0)
        stream.quarantine = QuarantineReader("")
        stream._source._records._read = ends_at_unreadable(stream._source._records._read)
        stream.assign(PARTITIONS, order)
        return stream

    def order(self):
        chain = {
            p: max((part.next for part in self.world.chains.parts.get(p, {}).values()), default=0) for p in PARTITIONS
        }
        ahead = {p: min((at for at in self.condemned[p] if at >= chain[p]), default=None) for p in PARTITIONS}
        refused = {("", p): (at, "kills-replica") for p, at in ahead.items() if at is not None}
        unseen = frozenset(("", p) for p, at in ahead.items() if (p, at) in self.unseen)
        return QuarantineOrder(steps=dict.fromkeys(PARTITIONS, 1), refused=refused, unseen=unseen)

    def read_on(self, steps, **given):
        """Read for so many steps in quarantine; return whether nothing is left, all of it durable."""
        stream = None
        try:
            stream = self.stream_in(self.order(), **given)
            for _ in range(steps):
                stream.step()
                stream.quarantine.ask(is_heartbeat=True)
                self.world.now += 1.0
            left = any(end != self.world.broker.log(p).end for p, (end, _) in stream.ends.items())
            if left:
                return False
            stream.close()
        except Death:
            partition, offset = stream.quarantine.ask(is_heartbeat=False).place
            if offset in self.condemned[partition]:
                self.unseen.add((partition, offset))
            self.condemned[partition].add(offset)
            self.deaths += 1
        except (Crash, Replaced):
            return False
        else:
            return True
        return False

    def read_up(self, **given):
        assert any(self.read_on(400, **given) for _ in range(100)), "they die on and on"

    def kill(self, partition, row):
        """Append a record with a deadly value: (site, step)."""
        site, step = row
        rows = [{"site": f"{site}{partition}", TIME: BASE_US + step * EVERY_US, "flow": DEADLY}]
        self.appended[PARTITIONS[partition]].append(rows)
        self.world.broker.append(PARTITIONS[partition], json.dumps(rows).encode(), appended_us=BASE_US)


@pytest.fixture
def refusing(world):
    return Refusing(world, MemorySnapshots())


def check(refusing):
    letters = {(reject.record.partition, reject.record.offset) for reject in refusing.world.dead_letters.rejects}
    for partition in PARTITIONS:
        assert sorted(refusing.rows(partition)) == sorted(refusing.expected(partition))
        assert {(partition, at) for at in refusing.refused(partition)} <= letters


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_behind_refused_records_windows_are_those_of_a_frame_without_what_was_before_wherever_replicas_die(
    new_world, seed
):
    chance = random.Random(seed)
    snapshots = chance.choice([MemorySnapshots, MemorySnapshots, NoSnapshots])()
    refusing = Refusing(new_world(), snapshots, every_s=chance.choice([0.0, 3.0, 1e9]))
    for _ in range(chance.randint(1, 6)):
        for _ in range(chance.randint(0, 9)):
            partition = chance.randint(0, 1)
            if chance.random() < 0.1:
                refusing.kill(partition, (chance.choice("ab"), len(refusing.appended[PARTITIONS[partition]]) // 3))
            sites = [(chance.choice("ab"), chance.randint(0, 4), chance.randint(0, 3)) for _ in range(2)]
            refusing.produce(partition, sites)
        partition = chance.choice(PARTITIONS)
        if (
            end := refusing.world.broker.log(partition).end
        ) and chance.random() < 0.5:  # of an innocent record, by chance
            refusing.condemned[partition].add(chance.randrange(end))
        if chance.random() < 0.7:
            refusing.read_on(chance.randint(1, 60), **script(chance), max_batch=chance.randint(1, 7))
        if chance.random() < 0.2:  # who has not come so far forgets: the record may be taken after all
            refusing.condemned[partition].clear()
        if chance.random() < 0.4:  # not in quarantine
            stream = refusing.stream(embed=ends_at_deadly, **script(chance), max_batch=chance.randint(1, 7))
            with contextlib.suppress(Crash, Replaced):
                stream.assign(PARTITIONS)
                for _ in range(chance.randint(1, 4)):
                    stream.step()
                    refusing.world.now += 4.0
                stream.checkpoint()
    refusing.read_up(max_batch=3)
    check(refusing)


def test_one_deadly_value_costs_one_record_and_its_series_go_on_behind_it(refusing):
    steady(refusing, 20)
    refusing.kill(0, ("a", 6))
    steady(refusing, 30)
    refusing.read_up()
    assert refusing.deaths == 1
    (refused,) = refusing.refused(ZERO)
    assert refused > 20, "it is the record that closes its cell"
    (reject,) = refusing.world.dead_letters.rejects
    assert isinstance(reject.record, Record)
    assert reject.detail.endswith("the series that it names (2) begin anew: their windows reach back to it at most")
    (event,) = told(refusing, BegunAnew)
    assert (event.record, event.series) == (f"{ZERO}@{refused}", 2)
    behind = [row for row in refusing.rows(ZERO) if row[0] > refused]
    assert {site for _, site, *_ in behind} == {"a0", "b0"}
    check(refusing)


def test_only_the_series_that_the_record_names_begin_anew(refusing):
    for _ in range(15):
        refusing.produce(0, [("a", 0, 0)])
        refusing.produce(0, [("b", 0, 0)])
    refusing.kill(0, ("a", 10))
    for _ in range(20):
        refusing.produce(0, [("a", 0, 0)])
        refusing.produce(0, [("b", 0, 0)])
    refusing.read_up()
    (refused,) = refusing.refused(ZERO)
    first = {site: length for offset, site, _, (length, _) in reversed(refusing.rows(ZERO)) if offset > refused}
    assert first == {"a0": 2, "b0": 4}, "the shortest that the model takes, and the longest"
    check(refusing)


@pytest.mark.parametrize("snapshots", [MemorySnapshots, NoSnapshots])
def test_who_reads_a_refused_record_once_more_lets_its_series_begin_anew_as_who_refused_it(world, snapshots):
    refusing = Refusing(world, snapshots())
    steady(refusing, 20)
    refusing.kill(0, ("a", 6))
    steady(refusing, 9)
    refusing.read_up()
    steady(refusing, 9)
    refusing.read_up()
    assert len(refusing.refused(ZERO)) == 1
    assert bool(told(refusing, Snapshotted)) == bool(refusing.snapshots.contents) == (snapshots is MemorySnapshots)
    assert bool(told(refusing, Warmed)) or snapshots is MemorySnapshots
    check(refusing)


@pytest.mark.parametrize("snapshots", [MemorySnapshots, NoSnapshots])
def test_a_record_whose_mere_reading_kills_is_passed_over_unseen_now_and_by_whoever_reads_once_more(world, snapshots):
    refusing = Refusing(world, snapshots())
    steady(refusing, 12)
    world.broker.append(ZERO, UNREADABLE)
    refusing.appended[ZERO].append([])
    steady(refusing, 9)
    refusing.read_up()
    steady(refusing, 9)
    refusing.read_up()
    assert (refusing.deaths, refusing.refused(ZERO)) == (2, {12: False})
    (reject,) = world.dead_letters.rejects
    assert (reject.record.value, reject.reason) == (UNREADABLE, "kills-replica")
    assert "it is refused unseen" in reject.detail
    assert not told(refusing, BegunAnew)
    check(refusing)
