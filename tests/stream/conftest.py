import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from undertow.adapters.memory_source import MemoryBroker, MemorySource, Script
from undertow.adapters.memory_stores import MemoryChains, MemoryDeadLetters, MemoryOfflineLog, MemoryOnline
from undertow.core.embedding import Embedded
from undertow.schemas.arrow_codec import decode_arrow
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Fault, Partition
from undertow.schemas.windows import WindowBatch
from undertow.stream.checkpoint import Limits
from undertow.stream.loop import Stream

CONTRACT = InputContract(
    series=(IdColumn(name="pump", type="string"),), past=(Column(name="flow"),), min_length=2, max_length=2
)
POISON = 1313.0


def embed(windows: WindowBatch) -> Embedded:
    """The deterministic model of these tests: a window's two flows are its vector; the number 1313 makes it fail."""
    flows = np.asarray(windows.past["flow"], np.float32).reshape(len(windows), 2)
    fine = np.flatnonzero(~(flows == POISON).any(axis=1))
    poisoned = np.flatnonzero((flows == POISON).any(axis=1))
    embeddings = EmbeddingBatch(
        space="0" * 64,
        series={"pump": windows.series["pump"][fine]},
        event_us=windows.end_us[fine],
        created_us=np.zeros(len(fine), np.int64),
        features={"embedding": flows[fine]},
    )
    faults = tuple(Fault(row=int(row), reason="not-finite", detail="thirteen") for row in poisoned)
    return Embedded(embeddings=embeddings, rows=fine, faults=faults)


class World:
    """A broker and stores that outlive the streams which work on them."""

    def __init__(self) -> None:
        self.now, self.set_by = 1_000.0, 0.0
        self.broker, self.chains, self.dead_letters = MemoryBroker(), MemoryChains(), MemoryDeadLetters()
        self.online: dict = {}
        self.waited: list[float] = []
        self.decode = partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)

    def produce(self, pump: str, end: int, *, flows=None, partition: int = 0) -> int:
        value = {"series": {"pump": pump}, "end": end, "past": {"flow": flows or [end, partition]}}
        return self.broker.append(Partition("windows", partition), json.dumps(value).encode(), appended_us=end)

    def produce_many(self, *rows: tuple[str, int, float]) -> int:
        """One Arrow record of a window for each pump, end and flow. From here on the world speaks Arrow."""
        self.decode = partial(decode_arrow, contract=CONTRACT, max_record_bytes=1 << 20)
        many = [{"series": {"pump": pump}, "end": end, "past": {"flow": [end, flow]}} for pump, end, flow in rows]
        batch = pa.RecordBatch.from_pylist(many)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        return self.broker.append(Partition("windows", 0), sink.getvalue().to_pybytes())

    def stream(
        self,
        *,
        polls: Script = (),
        writes: Script = (),
        publishes: Script = (),
        ends: Script = (),
        commits: Script = (),
        offline: bool = True,
        max_batch: int = 512,
        checkpoint_rows: int = 10**9,
        checkpoint_bytes: int = 10**9,
        give_up=lambda: False,
        tell=lambda _event: None,
    ) -> Stream:
        return Stream(
            source=MemorySource(
                self.broker,
                self.decode,
                max_batch=max_batch,
                polls=polls,
                commits=commits,
            ),
            embed=embed,
            online=MemoryOnline(self.online, writes=writes),
            offline=MemoryOfflineLog(self.chains, publishes=publishes, ends=ends) if offline else None,
            dead_letters=self.dead_letters,
            limits=Limits(checkpoint_seconds=10.0, checkpoint_rows=checkpoint_rows, checkpoint_bytes=checkpoint_bytes),
            clock=lambda: self.now + self.set_by,
            ticks=lambda: self.now,
            wait=self.wait,
            jitter=lambda: 1.0,
            give_up=give_up,
            tell=tell,
        )

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def offline_offsets(self, partition: int = 0) -> list[int]:
        """The offsets of all rows of a partition's chain, in the order of its parts."""
        parts = self.chains.parts.get(Partition("windows", partition), {})
        return [offset for first in sorted(parts) for offset in parts[first].offsets.tolist()]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    return World
