"""For the tests of whoever builds on Undertow: a broker, stores and dead letters in memory, which fail by a script.

They keep the same promises as the real ones (`undertow.stream.ports`), and pass the same contract tests here.
"""

from undertow.adapters.memory_source import Crash, MemoryBroker, MemorySource
from undertow.adapters.memory_stores import MemoryChains, MemoryDeadLetters, MemoryOfflineLog, MemoryOnline

__all__ = [
    "Crash",
    "MemoryBroker",
    "MemoryChains",
    "MemoryDeadLetters",
    "MemoryOfflineLog",
    "MemoryOnline",
    "MemorySource",
]
