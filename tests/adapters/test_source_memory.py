"""Failures of the source in memory are data."""

from functools import partial

import pytest

from undertow.adapters.memory_source import Crash, MemoryBroker, MemorySource
from undertow.core.errors import Unavailable
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition

P0 = Partition("windows", 0)
CONTRACT = InputContract(
    series=(IdColumn(name="id", type="string"),), past=(Column(name="x"),), min_length=1, max_length=9
)
decode = partial(decode_json, contract=CONTRACT, max_record_bytes=100)


def test_a_scripted_poll_fails_once_and_loses_nothing():
    broker = MemoryBroker()
    broker.append(P0, b"a")
    source = MemorySource(broker, decode, polls=[Unavailable("not now"), None, Crash()])
    source.assign({P0: None})
    with pytest.raises(Unavailable, match="not now"):
        source.poll(0)
    assert source.poll(0).receipt == {P0: 1}
    with pytest.raises(Crash):
        source.poll(0)


def test_a_scripted_commit_that_fails_commits_nothing():
    broker = MemoryBroker()
    source = MemorySource(broker, decode, commits=[None, Unavailable("not now")])
    source.commit({P0: 1})
    with pytest.raises(Unavailable):
        source.commit({P0: 2})
    assert broker.committed == {P0: 1}
