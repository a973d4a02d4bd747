"""Snapshots, and requests to forget, in memory, for tests.

In: what those in files take. Out: the same, for a test to inspect. Knows no file.
"""

from collections.abc import Callable, Iterator

from undertow.adapters.window_snapshots import KEPT
from undertow.core.errors import Refused
from undertow.core.publication import Content
from undertow.observations.series_keys import Keys
from undertow.schemas.records import Partition
from undertow.stream.snapshot_ports import ForgetRequest


class MemorySnapshots:
    """`Snapshots`. Several streams given the same one share them."""

    def __init__(self) -> None:
        self.contents: dict[Partition, dict[int, bytes]] = {}

    def newest(self, partition: Partition, at_most: int) -> Iterator[bytes]:
        """Yield snapshots up to this offset, newest first."""
        there = self.contents.get(partition, {})
        yield from (there[after] for after in sorted(there, reverse=True) if after <= at_most)

    def write(
        self,
        partition: Partition,
        after: int,
        content: Content,
        *,
        stays: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Keep the snapshot, and the newest ones before it."""
        there = self.contents.setdefault(partition, {})
        if after not in there or not stays(there[after]):
            there[after] = bytes(content)
        for old in sorted(older for older in there if older <= after)[:-KEPT]:
            del there[old]

    def rewrite(self, partition: Partition, change: Callable[[bytes], Content | None]) -> int:
        """Replace each snapshot by what `change` makes of it."""
        there, count = self.contents.get(partition, {}), 0
        for after, content in [*there.items()]:
            try:
                changed = change(content)
            except Refused:
                del there[after]
                count += 1
                continue
            if changed is not None:
                there[after] = bytes(changed)
                count += 1
        return count


class MemoryForgetRequests:
    """`ForgetRequests`."""

    def __init__(self) -> None:
        self._pending: dict[str, ForgetRequest] = {}
        self._count = 0

    def ask(self, partition: Partition, keys: Keys) -> ForgetRequest:
        """Ask whoever reads a partition to let go of series."""
        self._count += 1
        request = ForgetRequest(name=str(self._count), partition=partition, keys=keys)
        self._pending[request.name] = request
        return request

    def pending(self) -> list[ForgetRequest]:
        """Return the requests that nobody has fulfilled yet."""
        return [*self._pending.values()]

    def fulfil(self, request: ForgetRequest) -> None:
        """Delete a request."""
        self._pending.pop(request.name, None)
