"""Owners of one partition in any interleaving: every offset ends up in the chain once, or is still to be read."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from undertow.adapters.offline_chains import chains
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import part_files, read_footer, read_rows
from undertow.adapters.offline_root import claim_folder
from undertow.core.errors import Replaced
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart

SPACE = "a" * 64
VIEW = SpaceView(name="v", space=SPACE, series=(IdColumn(name="key", type="integer"),), features=(("f", 1),))
PARTITION = Partition("windows", 0)
OWNERS = 3


class Owner:
    """A replica as far as the log is concerned: starts where the chain ends, reads on, publishes what it read."""

    def __init__(self, root: Path, earliest: int) -> None:
        claim_folder(root, VIEW)
        self.log = FileOfflineLog(root, VIEW, cluster_id="c", topic_id="t", writer="", clock=lambda: 1e9)
        end = self.log.end(PARTITION)
        self.first = earliest if end is None else end
        self.position = self.first

    def publish(self) -> None:
        offsets = np.arange(self.first, self.position)
        n = len(offsets)
        self.log.publish(
            ChainPart(
                partition=PARTITION,
                first=self.first,
                next=self.position,
                offsets=offsets,
                embeddings=EmbeddingBatch(
                    space=SPACE,
                    series={"key": offsets},
                    event_us=offsets,
                    created_us=offsets,
                    features={"f": np.zeros((n, 1), np.float32)},
                ),
            )
        )
        self.first = self.position


class Race(RuleBasedStateMachine):
    """Retention moves the earliest offset; owners come, read, sleep for any time, and publish when they wake."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="race-")
        self.root = Path(self.folder.name)
        self.owners: dict[int, Owner] = {}
        self.earliest = 0

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(name=st.integers(0, OWNERS - 1))
    def start(self, name: int) -> None:
        self.owners[name] = Owner(self.root, self.earliest)

    @rule(offsets=st.integers(1, 3))
    def retention(self, offsets: int) -> None:
        if not list(part_files(self.root / VIEW.view)):
            self.earliest += offsets

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), records=st.integers(1, 4))
    def read(self, data: st.DataObject, records: int) -> None:
        self.owners[data.draw(st.sampled_from(sorted(self.owners)))].position += records

    @precondition(lambda self: any(owner.position > owner.first for owner in self.owners.values()))
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        ready = sorted(name for name, owner in self.owners.items() if owner.position > owner.first)
        name = data.draw(st.sampled_from(ready))
        try:
            self.owners[name].publish()
        except Replaced:
            del self.owners[name]

    @invariant()
    def the_chain_is_linear_and_holds_every_offset_once(self) -> None:
        files = part_files(self.root / VIEW.view)
        if not files:
            return
        footers = [read_footer(path) for path in files]
        assert all(before.next == after.first for before, after in pairwise(footers))
        first, end = footers[0].first, footers[-1].next
        assert read_rows(self.root / VIEW.view)["origin_offset"].to_pylist() == list(range(first, end))
        assert [(chain.first, chain.next) for chain in chains(self.root / VIEW.view)] == [(first, end)]
        assert Owner(self.root, 0).first == end


TestRace = Race.TestCase
TestRace.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
