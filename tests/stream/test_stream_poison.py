"""Records that end who takes them: a real controller over real streams, whose processes die as a test says."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Partition
from workers.adapters.memory_source import Crash
from workers.careful import Careful, Turn
from workers.fleet.artifact_status import ArtifactStatus
from workers.fleet.controller import Controller
from workers.fleet.status import FleetSize, ReplicaStatus

ZERO, ONE, TWO = (Partition("windows", index) for index in range(3))
DEADLY, ENDLESS = 666.0, 999.0


class Process:
    """One replica with a real stream for each artifact, which work when it is told to."""

    def __init__(self, worlds, name):
        self.name, self.size, self.order = name, FleetSize(), (frozenset(), None)
        self.streams, turn = {}, Turn()
        for artifact, world in worlds.items():
            self.streams[artifact] = stream = world.stream(max_batch=300)
            stream._limits = replace(stream._limits, poll_timeout_s=0.0)
            stream.careful = Careful(artifact, turn)
            if artifact == "a":  # the model that some records end
                self.embed, stream._embed = stream._embed, self.embed_or_end
        self.hangs = self.at_hand = None

    def embed_or_end(self, windows):
        flows = np.asarray(windows.past["flow"])
        if (flows == ENDLESS).any():
            self.at_hand, self.hangs = self.streams["a"].careful.ask(is_heartbeat=False), "has not returned"
        if self.hangs or (flows == DEADLY).any():
            raise Crash
        return self.embed(windows)

    def work(self):
        for stream in self.streams.values():
            if self.hangs is None:
                partitions, care = self.order
                stream.assign(partitions, *([] if care is None else [care]))
                if partitions:
                    stream.step()

    def status(self):
        return ReplicaStatus(
            name=self.name,
            state="running",
            wanted=self.order[0],
            size=self.size,
            care=self.order[1] or ReplicaStatus(name="", state="running").care,
            held=frozenset.intersection(*(stream.held for stream in self.streams.values())),
            lag=next(iter(self.streams.values())).lag,
            windows=sum(stream.counts.windows for stream in self.streams.values()),
            hangs=self.hangs,
            artifacts=tuple(
                ArtifactStatus(
                    artifact=artifact,
                    held=stream.held,
                    lag=stream.lag,
                    ends=stream.ends,
                    at_hand=self.at_hand if self.at_hand and artifact == "a" else stream.careful.ask(is_heartbeat=True),
                )
                for artifact, stream in self.streams.items()
            ),
        )


class Processes:
    """A `Replicas`. Each works a little before each look."""

    def __init__(self, worlds):
        self.worlds, self.living, self.dead, self.deaths = worlds, {}, set(), 0

    def names(self):
        return tuple(self.living)

    def spawn(self, name, _avoid=frozenset()):
        self.living[name] = Process(self.worlds, name)

    def look(self, name):
        try:
            self.living[name].work()
        except Crash:
            if self.living[name].hangs is None:
                return self.kill(name)
        return "its process died" if name in self.dead else self.living[name].status()

    def kill(self, name):
        self.dead.add(name)
        return "its process died"

    def nodes(self):
        return frozenset()

    def draining_nodes(self):
        return frozenset()

    def assign(self, name, partitions, size, care):
        self.living[name].size, self.living[name].order = size, (partitions, care)

    def drain(self, name, size):
        del name, size

    def remove(self, name):
        self.deaths += 1
        self.dead.discard(name)
        for stream in self.living.pop(name).streams.values():
            stream._writer.shutdown(wait=True)
            stream._keeper.close()


class Story:
    def __init__(self, world, replicas=2, artifact="a", **others):
        self.worlds = {artifact: world, **others}
        self.world, self.processes, self.replicas = world, Processes(self.worlds), replicas
        self.names = (f"replica-{number}" for number in itertools.count())
        self.start_controller()

    def start_controller(self):
        self.controller = Controller(
            fleet="f",
            partitions=[ZERO, ONE, TWO],
            wanted=self.replicas,
            replicas=self.processes,
            heartbeat_timeout_s=10.0,
            clock=lambda: self.world.now,
            new_name=lambda _slot: next(self.names),
        )

    def tick(self):
        for world in self.worlds.values():
            world.now += 1.0
        self.controller.tick()

    def read_up(self, ticks=2_000):
        """Tick until all is durable."""
        for _ in range(ticks):
            self.tick()
            assert self.controller.status().state != "failed", self.controller.status().message
            ends = {(a, p): _chain_end(world, p) for a, world in self.worlds.items() for p in (ZERO, ONE, TWO)}
            if all(end == self.world.broker.log(p).end for (_, p), end in ends.items()) and not (
                self.controller.status().suspects
            ):
                return
        raise AssertionError(f"not read up: {ends}, {self.controller.status().suspects}")


@pytest.fixture
def fill(world):
    return lambda count, bad: _fill(world, count, bad)


def _chain_end(world, partition):
    at = 0
    for first in sorted(parts := world.chains.parts.get(partition, {})):
        at = parts[first].next
    return at


def _fill(world, count, bad):
    """So many records in each partition; of partition 0 those in `bad` end who takes them, each in its way."""
    for partition in range(3):
        for end in range(count):
            flow = bad.get(end, float(end) / 7) if partition == 0 else float(end) / 7
            world.produce(f"pump-{end % 5}", end, flows=[flow, 0.5], partition=partition)


def check(world, count, bad):
    assert sorted(world.offline_offsets(0)) == [offset for offset in range(count) if offset not in bad]
    for other in (1, 2):
        assert sorted(world.offline_offsets(other)) == list(range(count))
    reasons = {DEADLY: "kills-replica", ENDLESS: "hangs"}
    letters = {reject.record.offset: reject for reject in world.dead_letters.rejects}
    assert {offset: reject.reason for offset, reject in letters.items()} == {o: reasons[f] for o, f in bad.items()}
    for reject in letters.values():
        assert b'"pump"' in reject.record.value


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("flow", [DEADLY, ENDLESS])
def test_a_record_that_ends_each_replica_is_found_and_refused_and_all_others_are_embedded(world, fill, flow, replicas):
    bad = {437: flow}
    fill(800, bad)
    story = Story(world, replicas)
    story.read_up()
    check(world, 800, bad)
    assert story.processes.deaths <= 6
    assert story.controller.status().rejects == {}  # counted by streams, which these statuses leave out


@pytest.mark.parametrize("replicas", [1, 2])
def test_of_two_artifacts_one_whose_model_a_record_ends_leaves_the_other_whole_and_holds_it_up_for_no_longer(
    world, new_world, fill, replicas
):
    bad = {437: DEADLY, 440: ENDLESS}
    fill(500, bad)
    other = new_world()
    other.broker = world.broker.of_another_group()
    Story(other, replicas, "b").read_up()  # it is read up when the other artifact is added
    story = Story(world, replicas, b=other)
    story.read_up(400)
    check(world, 500, bad)
    assert sorted(other.offline_offsets(0)) == list(range(500))
    assert other.dead_letters.rejects == []


def test_others_are_read_on_while_the_record_is_looked_for(world, fill):
    fill(300, {3: DEADLY})
    story = Story(world)
    while not story.controller.status().suspects:
        story.tick()
    while (_chain_end(world, ONE), _chain_end(world, TWO)) != (300, 300):
        story.tick()
    assert [line for line in story.controller.status().suspects if line.startswith("windows-0")]
    assert not world.dead_letters.rejects


def test_a_controller_that_is_new_goes_on_where_the_one_before_was(world, fill):
    bad = {40: DEADLY}
    fill(60, bad)
    story = Story(world)
    while not story.controller.status().suspects:
        story.tick()
    while not any(one.care.steps for one in story.controller.status().replicas):
        story.tick()
    story.start_controller()
    story.tick()
    assert story.controller.status().suspects
    story.read_up()
    check(world, 60, bad)


def test_where_every_record_ends_its_replica_the_fleet_says_that_it_is_not_the_records(world, fill):
    fill(50, dict.fromkeys(range(50), DEADLY))
    world.chains.parts.clear()
    story = Story(world, replicas=1)
    story.controller._partitions = frozenset([ZERO])
    while story.controller.status().state != "failed":
        story.tick()
    assert "it is the model or this machine, not the records" in story.controller.status().message
    assert len(world.dead_letters.rejects) <= 5


def test_a_replica_that_waits_for_a_store_is_no_evidence_when_it_dies(world, fill):
    fill(10, {})
    story = Story(world)
    for _ in range(4):
        story.tick()
    for _ in range(3):
        name = next(iter(story.processes.living))
        status = replace(story.processes.living[name].status(), blocked="redis is away")
        story.processes.living[name].status = lambda status=status: status
        story.tick()
        story.processes.kill(name)
        story.tick()
        story.tick()
    assert not story.controller.status().suspects


@settings(max_examples=12, deadline=None)
@given(
    bad=st.dictionaries(st.integers(0, 399), st.sampled_from([DEADLY, ENDLESS]), max_size=3),
    kills=st.lists(st.integers(1, 120), max_size=6, unique=True),
    restarts=st.lists(st.integers(1, 120), max_size=2),
    replicas=st.integers(1, 3),
)
def test_whatever_ends_replicas_besides_each_record_is_embedded_or_refused_once(
    new_world, bad, kills, restarts, replicas
):
    """Random kills may bring an innocent record among the dead letters, where it can be had: never is one lost."""
    world = new_world()
    _fill(world, 400, bad)
    story = Story(world, replicas)
    for number in range(1, 121):
        if number in kills and story.processes.living:
            story.processes.kill(min(story.processes.living))
        if number in restarts:
            story.start_controller()
        story.tick()
    story.read_up()
    refused = {reject.record.offset for reject in world.dead_letters.rejects if reject.record.partition == ZERO}
    assert set(bad) <= refused
    assert sorted(world.offline_offsets(0)) == sorted(set(range(400)) - refused)
    assert len(refused) <= len(bad) + 1
