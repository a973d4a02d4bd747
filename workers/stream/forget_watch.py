"""Hear that series are to be forgotten, and tell when they are: the replica's side of `undertow forget`.

In: requests of others, the keys of series in a partition. Out: those that nobody has answered yet; snapshots without
the series. Knows no source, and not where requests lie.
"""

from collections.abc import Container, Sequence
from concurrent.futures import Executor, Future
from functools import partial

from undertow.core.errors import UndertowError
from undertow.observations.held_forgetting import without
from undertow.schemas.records import Partition
from undertow.stream.events import Listener, SnapshotFailed
from undertow.stream.ports import Clock
from undertow.stream.snapshot_ports import ForgetRequest, ForgetRequests, Snapshots

LOOK_S = 10.0
"""How often requests are looked for: one listing of a folder. A choice."""


class ForgetWatch:
    """The requests of one view. One thread owns it; `answer` is for that of the snapshots."""

    def __init__(
        self, requests: ForgetRequests, snapshots: Snapshots, thread: Executor, *, tell: Listener, ticks: Clock
    ) -> None:
        """Look for nothing yet. `thread` is that of the snapshots."""
        self._requests, self._snapshots, self._thread = requests, snapshots, thread
        self._tell, self._ticks = tell, ticks
        self._looking: Future[list[ForgetRequest]] | None = None
        self._looked_at = ticks()
        self._taken: set[str] = set()  # the names of requests that are being answered

    def heard(self, partitions: Container[Partition]) -> list[ForgetRequest]:
        """Return new requests for these partitions; each must be answered, or put back. Never waits."""
        now = self._ticks()
        if self._looking is None and now - self._looked_at >= LOOK_S:
            self._looked_at, self._looking = now, self._thread.submit(self._pending)
        if self._looking is None or not self._looking.done():
            return []
        found, self._looking = self._looking.result(), None
        mine = [one for one in found if one.partition in partitions and one.name not in self._taken]
        self._taken.update(request.name for request in mine)
        return mine

    def put_back(self, requests: Sequence[ForgetRequest]) -> None:
        """Have requests heard again, by us or by whoever reads their partition then. For any thread."""
        self._taken.difference_update([request.name for request in requests])

    def answer(self, requests: Sequence[ForgetRequest]) -> None:
        """Rewrite snapshots that may hold the series, and delete the requests: nobody holds the series any more."""
        for request in requests:
            try:
                self._snapshots.rewrite(request.partition, partial(without, keys=request.keys))
                self._requests.fulfil(request)
            except UndertowError as error:
                message = f"series that are to be forgotten stay in snapshots: {error}"
                self._tell(SnapshotFailed(partition=request.partition, error=message))
        self.put_back(requests)

    def _pending(self) -> list[ForgetRequest]:
        try:
            return self._requests.pending()
        except UndertowError:  # whoever waits for an answer tells that there is none; it is looked again
            return []
