"""Snapshots of what a stream holds of raw observations, beside the chains of a view: `@windows/<topic>/<partition>/`.

In: the bytes of a snapshot, and the offset up to which everything is in it. Out: the newest ones at or before an
offset. A snapshot is created or not, whole, and never changed; all but the newest are deleted. Without any the topic is
read again, so whatever is wrong with one costs time alone. Knows nothing of what they hold.
"""

import re
from collections.abc import Iterator

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_parts import translated
from undertow.core.publication import Content, CreationStep
from undertow.schemas.records import Partition
from undertow.storage.store_path import AnyPath
from undertow.stream.failpoints import hit_failpoint

FOLDER, SUFFIX = "@windows", ".arrow"
"""The folder inside a view's: names of topics cannot contain an @, and parts have another suffix."""
KEPT = 2
"""How many snapshots of a partition stay: should the chain end before the newest, the one before it is there."""
_NAME = re.compile(r"[0-9]{20}" + re.escape(SUFFIX)).fullmatch


class WindowSnapshots:
    """The snapshots of one view."""

    def __init__(self, home: AnyPath) -> None:
        """`home` is the view's folder, which must have been claimed."""
        self._home = home

    def newest(self, partition: Partition, at_most: int) -> Iterator[bytes]:
        """Yield snapshots up to this offset, newest first. Raises `Refused`, `Unavailable`."""
        folder = self._folder(partition)
        for name in reversed(self._names(folder)):
            if int(name.removesuffix(SUFFIX)) <= at_most:
                with translated(folder / name):
                    try:
                        content = (folder / name).read_bytes()
                    except FileNotFoundError:  # another replica has written newer ones
                        continue
                yield content

    def write(self, partition: Partition, after: int, content: Content) -> None:
        """Write the snapshot up to an offset, and delete older ones. Raises `Refused`, `Unavailable`."""
        folder = self._folder(partition)
        written = f"{after:020d}{SUFFIX}"
        publish(folder / written, content, within=self._home, at_step=_at_step)
        with translated(folder):
            # One behind it is of a topic that was there before, or of who has overtaken us: neither is in its way.
            for name in [name for name in self._names(folder) if name <= written][:-KEPT]:
                (folder / name).unlink(missing_ok=True)

    def _folder(self, partition: Partition) -> AnyPath:
        return self._home / FOLDER / partition.topic / str(partition.index)

    def _names(self, folder: AnyPath) -> list[str]:
        with translated(folder):
            try:
                return sorted(filter(_NAME, (path.name for path in folder.iterdir())))
            except FileNotFoundError:
                return []


def _at_step(step: CreationStep) -> None:
    hit_failpoint(step)
    hit_failpoint(f"{step}_of_snapshot")
