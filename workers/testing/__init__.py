"""For the tests of whoever builds on Undertow: a broker, stores and dead letters in memory, which fail by a script.

They keep the same promises as the real ones (`undertow.stream.ports`), and pass the same contract tests here.
"""

from undertow.adapters.memory_source import Crash, MemoryBroker, MemorySource
from undertow.adapters.memory_stores import MemoryChains, MemoryDeadLetters, MemoryOfflineLog, MemoryOnline, OnlineRow
from undertow.schemas.decoded import Decoded
from undertow.schemas.records import Partition, Record, Reject

__all__ = [
    "Crash",
    "Decoded",
    "MemoryBroker",
    "MemoryChains",
    "MemoryDeadLetters",
    "MemoryOfflineLog",
    "MemoryOnline",
    "MemorySource",
    "OnlineRow",
    "Partition",
    "Record",
    "Reject",
]
