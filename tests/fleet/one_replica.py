"""A replica without Ray, in a thread: streams of two artifacts on one broker in memory, each with stores of its own."""

import json
import threading
import time
from functools import partial

import numpy as np

from undertow.adapters.memory_source import MemoryBroker, MemorySource
from undertow.adapters.memory_stores import MemoryChains, MemoryDeadLetters, MemoryOfflineLog, MemoryOnline
from undertow.core.embedding import Embedded
from undertow.core.errors import Unavailable
from undertow.fleet.replica import Replica
from undertow.fleet.status import FleetSize
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.stream.checkpoint import Limits
from undertow.stream.loop import Stream

PUMPS, VALVES = "pumps__00000000", "valves__11111111"
COLUMNS = {PUMPS: ("flow",), VALVES: ("flow", "head")}
PARTITIONS = frozenset({Partition("windows", 0), Partition("windows", 1)})
SIZE = FleetSize(1, 1)


def embed_as(artifact, windows):
    """The model of these tests: the one step of each column, in order, is the vector."""
    vectors = np.stack([np.asarray(windows.past[name], np.float32) for name in COLUMNS[artifact]], axis=1)
    rows = EmbeddingBatch(
        space=artifact,
        series=dict(windows.series),
        event_us=windows.end_us,
        created_us=np.zeros(len(windows), np.int64),
        features={"embedding": vectors},
    )
    return Embedded(embeddings=rows, rows=np.arange(len(windows)), faults=())


class Store(MemoryOnline):
    """An online store that can be away, for a reason that is told where it is a text."""

    def __init__(self):
        super().__init__()
        self.is_away = False

    def write(self, batch):
        if self.is_away:
            raise Unavailable(self.is_away if isinstance(self.is_away, str) else "the store is away")
        return super().write(batch)


class World:
    """A topic, and for each artifact its stores, which outlive a replica."""

    def __init__(self):
        self.broker = MemoryBroker()
        self.groups = {name: self.broker.of_another_group() for name in COLUMNS}
        self.online = {name: Store() for name in COLUMNS}
        self.chains = {name: MemoryChains() for name in COLUMNS}
        self.dead_letters = {name: MemoryDeadLetters() for name in COLUMNS}

    def produce(self, count, **past):
        """Append windows with these columns, in turn to both partitions."""
        for number in range(count):
            value = {"series": {"pump": f"p{number}"}, "end": number, "past": past}
            self.broker.append(Partition("windows", number % 2), json.dumps(value).encode())

    def opener(self, artifact, **scripts):
        contract = InputContract(
            series=(IdColumn(name="pump", type="string"),),
            past=tuple(Column(name=name) for name in COLUMNS[artifact]),
            min_length=1,
            max_length=1,
        )
        decode = partial(decode_json, contract=contract, max_record_bytes=1 << 20)

        def opens(give_up):
            return Stream(
                source=MemorySource(self.groups[artifact], decode, max_batch=3, **scripts),
                embed=partial(embed_as, artifact),
                online=self.online[artifact],
                offline=MemoryOfflineLog(self.chains[artifact]),
                dead_letters=self.dead_letters[artifact],
                limits=Limits(checkpoint_seconds=3600.0, checkpoint_rows=10**9),
                wait=lambda _: threading.Event().wait(0.001),
                give_up=give_up,
            )

        return opens

    def offsets(self, artifact):
        """Of each partition: the offsets of all rows of its chain, and where it ends."""
        found = {}
        for partition, parts in self.chains[artifact].parts.items():
            rows = [offset for first in sorted(parts) for offset in parts[first].offsets.tolist()]
            found[partition.index] = (rows, MemoryOfflineLog(self.chains[artifact]).end(partition))
        return found


class Running:
    """A replica in a thread of its own, as its actor's data thread runs it."""

    def __init__(self, openers, drain_timeout_seconds=60.0, **options):
        self.replica = Replica("replica-1", openers, drain_timeout_seconds=drain_timeout_seconds, **options)
        self.raised: list[RuntimeError] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.replica.run()
        except RuntimeError as error:
            self.raised.append(error)

    def until(self, holds):
        give_up_at = time.monotonic() + 20
        while not holds(status := self.replica.status()):
            assert time.monotonic() < give_up_at, status
            time.sleep(0.001)
        return status

    def ended(self):
        self.thread.join(20)
        assert not self.thread.is_alive()
        status = self.replica.status()
        assert status.state == "ended"
        return status


def fails_when(event, error):
    """Go on until the event, then raise."""
    while not event.is_set():
        yield None
    yield error
