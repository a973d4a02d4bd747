"""Snapshots of what a stream holds of raw observations, beside the chains of a view: `@windows/<topic>/<partition>/`.

In: the bytes of a snapshot, and the offset up to which everything is in it. Out: the newest ones at or before an
offset. A snapshot is created or not, whole, and changed only where series are forgotten; all but the newest are
deleted. Without any the topic is read again, so whatever is wrong with one costs time alone. Knows nothing of what they
hold.
"""

import re
from collections.abc import Callable, Iterator
from sys import maxsize

from undertow.adapters.offline_files import publish, replace_unchanged
from undertow.adapters.offline_parts import translated
from undertow.core.errors import Refused
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

    def partitions(self) -> list[Partition]:
        """Return the partitions that have snapshots, in order. Raises `Refused`, `Unavailable`."""
        return sorted(
            Partition(topic, int(index))
            for topic in _names_in(self._home / FOLDER)
            if "@" not in topic
            for index in _names_in(self._home / FOLDER / topic)
            if index.isdecimal() and self._names(self._home / FOLDER / topic / index)
        )

    def newest(self, partition: Partition, at_most: int = maxsize) -> Iterator[bytes]:
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

    def write(
        self,
        partition: Partition,
        after: int,
        content: Content,
        *,
        stays: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Write the snapshot up to an offset, unless there is one that `stays`, and delete older ones.

        Raises `Refused`, `Unavailable`.
        """
        folder = self._folder(partition)
        written = f"{after:020d}{SUFFIX}"
        if not publish(folder / written, content, within=self._home, at_step=_at_step):
            self._rewrite(folder / written, lambda there: None if stays(there) else content)
        with translated(folder):
            # One behind it is of a topic that was there before, or of who has overtaken us: neither is in its way.
            for name in [name for name in self._names(folder) if name <= written][:-KEPT]:
                (folder / name).unlink(missing_ok=True)

    def rewrite(self, partition: Partition, change: Callable[[bytes], Content | None]) -> int:
        """Replace each snapshot by what `change` makes of it, unless that is None; return how many were replaced.

        One of which `change` raises `Refused` is deleted. Raises `Refused`, `Unavailable`.
        """
        folder = self._folder(partition)
        return sum(self._rewrite(folder / name, change) for name in self._names(folder))

    def _rewrite(self, path: AnyPath, change: Callable[[bytes], Content | None]) -> bool:
        is_changed = False

        def make() -> Content | None:
            nonlocal is_changed
            changed = change(path.read_bytes())
            is_changed = changed is not None
            return changed

        with translated(path):
            try:
                while not replace_unchanged(path, make):  # two that forget series replace it in turns
                    pass
            except FileNotFoundError:  # another replica has written newer ones
                return False
            except Refused:
                path.unlink(missing_ok=True)
                return True
        return is_changed

    def _folder(self, partition: Partition) -> AnyPath:
        return self._home / FOLDER / partition.topic / str(partition.index)

    def _names(self, folder: AnyPath) -> list[str]:
        return sorted(filter(_NAME, _names_in(folder)))


def _names_in(folder: AnyPath) -> list[str]:
    with translated(folder):
        try:
            return [path.name for path in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []


def _at_step(step: CreationStep) -> None:
    hit_failpoint(step)
    hit_failpoint(f"{step}_of_snapshot")
