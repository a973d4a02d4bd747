"""Forget series in what a fleet holds of raw observations: in its snapshots, and in the memory of its replicas.

In: a view's folder, ids. Out: how many snapshots were rewritten, and which requests no replica has answered. It may be
killed at any step, and run again. Knows no settings.

1. For each partition that has snapshots a request is written: the replica that reads it lets go of the series, writes
   a snapshot without them and deletes the request (`stream/snapshot_writer.py`).
2. Snapshots are rewritten without them, by the same rule; of other series nothing is lost.
3. Where no fleet is alive the requests are deleted: whoever reads snapshots from now on reads the rewritten ones. Else
   it waits for the replicas.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from undertow.adapters.window_forgetting import FileForgetRequests
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.core.errors import Refused
from undertow.observations.held_forgetting import has_any, without
from undertow.observations.series_keys import Keys, keys_of
from undertow.schemas.records import Partition
from undertow.schemas.windows import Values
from undertow.storage.store_path import AnyPath
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.ports import Clock

ANSWER_S = 60.0
"""How long a replica may take to answer: it looks every ten seconds, and writes a snapshot. A choice."""
PAUSE_S = 0.5

IsAlive = Callable[[AnyPath, str], bool]
"""Whether a fleet is alive that writes a topic's chains in a view's folder. May take seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenObservations:
    """What was done in one view."""

    snapshots: int = 0
    """How many were rewritten."""
    unanswered: tuple[Partition, ...] = ()
    """Partitions whose replicas may hold the series still."""


class HeldObservations:
    """What is held of some series in one view's snapshots."""

    def __init__(self, home: AnyPath, ids: Mapping[str, Values]) -> None:
        """`ids` are (n,) in the order in which the view has them."""
        self._home, self._ids = home, ids
        self._snapshots, self._requests = WindowSnapshots(home), FileForgetRequests(home)

    @property
    def partitions(self) -> list[Partition]:
        """The partitions that have snapshots. Raises `Refused`, `Unavailable`."""
        return self._snapshots.partitions()

    def count(self) -> int:
        """Return how many snapshots hold any of the series, or cannot be read. Raises `Refused`, `Unavailable`."""
        return sum(
            _has_any(content, self._keys(partition))
            for partition in self.partitions
            for content in self._snapshots.newest(partition)
        )

    def forget(
        self,
        is_alive: IsAlive,
        tell_wait: Callable[[], None] = lambda: None,
        *,
        clock: Clock = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> ForgottenObservations:
        """Have all let go of the series. Raises `Refused`, `Unavailable`: what was forgotten stays so.

        `tell_wait` is called before a running fleet is waited for.
        """
        partitions = self.partitions
        for partition in partitions:
            self._requests.ask(partition, self._keys(partition))
        hit_failpoint("after_forget_asked")
        rewritten = sum(self._rewrite(partition, self._keys(partition)) for partition in partitions)
        for topic in sorted({partition.topic for partition in partitions}):
            if not is_alive(self._home, topic):
                for request in self._requests.pending():  # those of a command that was killed, too
                    if request.partition.topic == topic:
                        rewritten += self._rewrite(request.partition, request.keys)
                        self._requests.fulfil(request)
        until = clock() + ANSWER_S
        if self._requests.pending():
            tell_wait()
        while (left := self._requests.pending()) and clock() < until:
            wait(PAUSE_S)
        unanswered = tuple(sorted({request.partition for request in left}))
        return ForgottenObservations(snapshots=rewritten, unanswered=unanswered)

    def _keys(self, partition: Partition) -> Keys:
        return keys_of(self._ids, [partition.index] * len(next(iter(self._ids.values()))))

    def _rewrite(self, partition: Partition, keys: Keys) -> int:
        return self._snapshots.rewrite(partition, partial(without, keys=keys))


def _has_any(content: bytes, keys: Keys) -> bool:
    try:
        return has_any(content, keys)
    except Refused:  # it is damaged: whatever it holds must go
        return True
