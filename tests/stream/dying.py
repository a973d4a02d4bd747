"""A real controller over real streams, whose processes die as a test says."""

import itertools
from dataclasses import replace

import numpy as np

from undertow.adapters.memory_source import Crash
from undertow.fleet.artifact_status import ArtifactStatus
from undertow.fleet.controller import Controller
from undertow.fleet.status import FleetSize, ReplicaStatus
from undertow.schemas.records import Partition
from undertow.settings.sections import FleetSettings
from undertow.stream.counts import Counts
from undertow.stream.quarantine_reader import QuarantineReader, Turn

ZERO, ONE, TWO = (Partition("windows", index) for index in range(3))
DEADLY, ENDLESS, CRASHING = 666.0, 999.0, 777.0


class Panic(BaseException):
    """As bindings of native code raise it (pyo3's PanicException): `except Exception` lets it pass."""


class Process:
    """One replica with a real stream for each artifact, which work when it is told to."""

    def __init__(self, worlds, name):
        self.name, self.size, self.order = name, FleetSize(), (frozenset(), None)
        self.streams, turn = {}, Turn()
        for artifact, world in worlds.items():
            self.streams[artifact] = stream = world.stream(max_batch=300)
            stream._limits = replace(stream._limits, poll_timeout_s=0.0)
            stream.quarantine = QuarantineReader(artifact, turn)
            if artifact == "a":  # the model that some records end
                self.embed, stream._embed = stream._embed, self.embed_or_end
        self.hangs = self.in_flight = self.error = None

    def embed_or_end(self, windows):
        flows = np.asarray(windows.past["flow"])
        if (flows == ENDLESS).any():
            self.in_flight, self.hangs = self.streams["a"].quarantine.ask(is_heartbeat=False), "has not returned"
        if (flows == CRASHING).any():
            raise Panic
        if self.hangs or (flows == DEADLY).any():
            raise Crash
        return self.embed(windows)

    def work(self):
        for stream in self.streams.values():
            if self.hangs is None and self.error is None:
                partitions, quarantine = self.order
                stream.assign(partitions, *([] if quarantine is None else [quarantine]))
                if partitions:
                    self.step(stream)

    def step(self, stream):
        """As a replica does whose stream crashes: it closes what it has, and says that it has ended."""
        try:
            stream.step()
        except Panic as error:
            for one in self.streams.values():
                one.close()
            self.error = f"{type(error).__name__}: "

    def status(self):
        return ReplicaStatus(
            name=self.name,
            state="running" if self.error is None else "ended",
            error=self.error,
            fault="none" if self.error is None else "crashed",
            wanted=self.order[0],
            size=self.size,
            quarantine=self.order[1] or ReplicaStatus(name="", state="running").quarantine,
            held=frozenset.intersection(*(stream.held for stream in self.streams.values())),
            lag=next(iter(self.streams.values())).lag,
            counts=Counts(windows=sum(stream.counts.windows for stream in self.streams.values())),
            hangs=self.hangs,
            artifacts=tuple(
                ArtifactStatus(
                    artifact=artifact,
                    held=stream.held,
                    lag=stream.lag,
                    ends=stream.ends,
                    in_flight=self.in_flight
                    if self.in_flight and artifact == "a"
                    else stream.quarantine.ask(is_heartbeat=True),
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

    def assign(self, name, partitions, size, quarantine):
        self.living[name].size, self.living[name].order = size, (partitions, quarantine)

    def drain(self, name, size):
        del name, size

    def remove(self, name):
        self.deaths += 1
        self.dead.discard(name)
        for stream in self.living.pop(name).streams.values():
            stream._writer.shutdown(wait=True)
            stream._checkpoints.close()


class Story:
    def __init__(self, world, replicas=2, artifact="a", **others):
        self.worlds = {artifact: world, **others}
        self.world, self.processes, self.replicas = world, Processes(self.worlds), replicas
        self.names = (f"replica-{number}" for number in itertools.count())
        self.start_controller()

    def start_controller(self):
        self.controller = Controller(
            fleet=FleetSettings(name="f", replicas=self.replicas),
            partitions=[ZERO, ONE, TWO],
            replicas=self.processes,
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
            ends = {(a, p): chain_end(world, p) for a, world in self.worlds.items() for p in (ZERO, ONE, TWO)}
            if all(end == self.world.broker.log(p).end for (_, p), end in ends.items()) and not (
                self.controller.status().suspects
            ):
                return
        raise AssertionError(f"not read up: {ends}, {self.controller.status().suspects}")


def chain_end(world, partition):
    at = 0
    for first in sorted(parts := world.chains.parts.get(partition, {})):
        at = parts[first].next
    return at


def fill_with(world, count, bad):
    """So many records in each partition; of partition 0 those in `bad` end who takes them, each in its way."""
    for partition in range(3):
        for end in range(count):
            flow = bad.get(end, float(end) / 7) if partition == 0 else float(end) / 7
            world.produce(f"pump-{end % 5}", end, flows=[flow, 0.5], partition=partition)


def check(world, count, bad):
    assert sorted(world.offline_offsets(0)) == [offset for offset in range(count) if offset not in bad]
    for other in (1, 2):
        assert sorted(world.offline_offsets(other)) == list(range(count))
    reasons = {DEADLY: "kills-replica", CRASHING: "kills-replica", ENDLESS: "hangs"}
    letters = {reject.record.offset: reject for reject in world.dead_letters.rejects}
    assert {offset: reject.reason for offset, reject in letters.items()} == {o: reasons[f] for o, f in bad.items()}
    for reject in letters.values():
        assert b'"pump"' in reject.record.value
