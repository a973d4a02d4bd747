"""The offline log in a folder: the history of all embeddings, and the record of each partition's progress.

In: parts. Out: `<root>/<view>/<topic>/<partition>/<first>.parquet`, one linear chain of files for each partition.
Knows neither Kafka's client nor Feast, which reads `<root>/<view>` as one table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from schemas.records import Partition
from schemas.spaces import SpaceView
from workers.adapters.offline_files import publish, require_folder, sweep, sync_folder
from workers.adapters.offline_parts import (
    SUFFIX,
    Footer,
    encode_part,
    part_files,
    read_footer,
    read_latest,
    read_metadata,
)
from workers.adapters.offline_root import require_own, view_folder
from workers.core.errors import Refused, Replaced, Unavailable
from workers.core.ports import Clock, Part

BACKFILLS = "@backfill"
"""The folder of backfills' parts, beside those of topics: no topic can have a name with an @."""


class FileOfflineLog:
    """The chains of one topic in one view. The first to publish at a place owns it; nothing is ever deleted.

    The first part of a chain is always named 0, wherever it begins: two owners who both found the chain empty contend
    for that one name, even if retention or a commit made them begin at different offsets.
    """

    def __init__(
        self, root: Path, view: SpaceView, *, cluster_id: str, topic_id: str, writer: str, clock: Clock
    ) -> None:
        """`clock` gives seconds since the epoch; `writer` is for people. The view's folder must have been claimed."""
        self._home, self._view = view_folder(root, view), view
        require_own(self._home, view)
        self._cluster_id, self._topic_id = cluster_id, topic_id
        self._writer, self._clock = writer, clock
        self._ends: dict[Partition, int | None] = {}
        self._latest: dict[Partition, int] = {}

    def end(self, partition: Partition) -> int | None:
        """Return where the chain ends, None where there is none.

        Raises `Refused` for a damaged last part and for a chain of another cluster or topic id, `Unavailable` where the
        folder cannot be read now.
        """
        folder = self._folder(partition)
        try:
            require_folder(self._home)  # an empty chain is one in a folder that is there
            parts = _parts(folder, now=self._clock())
        except PermissionError as error:
            message = f"the chain in {folder} cannot be read ({error.strerror}); give this user the right to read it"
            raise Refused(message) from error
        except OSError as error:
            message = f"the chain in {folder} could not be read ({error}); repair its disk: it will be tried again"
            raise Unavailable(message) from error
        if not parts:
            self._ends[partition] = None
            return None
        footer = read_footer(parts[-1])
        self._check_identity(footer)
        self._ends[partition], self._latest[partition] = footer.next, _latest(parts)
        return footer.next

    def latest(self, partition: Partition) -> int:
        """Return the `created_us` that the chain ends with, as `end` or `publish` has last seen it; 0 where none is."""
        return self._latest.get(partition, 0)

    def publish(self, part: Part) -> None:
        """Append. Durable on return. Raises `Replaced`, `Unavailable` or `Refused`."""
        if part.next <= part.first:
            message = f"a part of {part.partition} must move its chain, but reaches from {part.first} to {part.next}"
            raise ValueError(message)
        if part.partition not in self._ends:
            self.end(part.partition)
        end = self._ends[part.partition]
        if end is not None and part.first > end:
            message = f"the chain of {part.partition} ends at {end}; a part that begins at {part.first} leaves a gap"
            raise ValueError(message)
        path = self._folder(part.partition) / f"{0 if end is None else part.first:020d}{SUFFIX}"
        if (end is not None and part.first < end) or not publish(path, self._encode(part), within=self._home):
            message = (
                f"another owner has appended to the chain of {part.partition} at {part.first} ({path.parent}): "
                "this replica has been replaced"
            )
            raise Replaced(message)
        self._ends[part.partition], self._latest[part.partition] = part.next, part.created_us

    def _encode(self, part: Part) -> bytes:
        footer = Footer(
            partition=part.partition,
            first=part.first,
            next=part.next,
            lost=part.lost,
            space=self._view.space,
            cluster_id=self._cluster_id,
            topic_id=self._topic_id,
            writer=self._writer,
        )
        return encode_part(
            part.embeddings,
            self._view,
            metadata=footer.to_metadata(),
            latest_us=part.created_us,
            origin=(part.partition.index, part.offsets),
        )

    def _folder(self, partition: Partition) -> Path:
        return self._home / partition.topic / str(partition.index)

    def _check_identity(self, footer: Footer) -> None:
        found, expected = (footer.cluster_id, footer.topic_id), (self._cluster_id, self._topic_id)
        if found == expected:
            return
        folder = self._home / footer.partition.topic
        message = (
            f"the offline log of {footer.partition} comes from topic id {found[1]} of cluster {found[0]}, but the "
            f"broker now has topic id {expected[1]} of cluster {expected[0]}: the topic was deleted and made anew, or "
            "this is another broker, so offsets begin again. To start from the new topic's beginning and keep the old "
            f"rows readable: mv {folder} {folder}@{found[1]}"
        )
        raise Refused(message)


def _parts(folder: Path, *, now: float) -> list[Path]:
    """Return the files of a chain, in order, once the last one's name is durable."""
    try:
        files = list(folder.iterdir())  # unlike `glob` it tells where it could not look
    except FileNotFoundError:
        return []
    sweep(folder, now=now)
    parts = sorted(path for path in files if path.suffix == SUFFIX and path.stem.isdigit())
    if parts:
        sync_folder(folder)  # a predecessor may have died between its link and its fsync: what we build upon must last
    return parts


def _latest(parts: Sequence[Path]) -> int:
    """Return the `created_us` that a chain ends with: its last part says so, unless an earlier version wrote it."""
    return next(filter(None, map(read_latest, reversed(parts))), 0)


def latest_in(home: Path) -> int:
    """Return the greatest `created_us` in a view's folder, of chains and backfills; 0 where there is no row.

    Raises `Refused` for a damaged part, `Unavailable`.
    """
    latest = 0
    for folder, files in groupby(part_files(home), key=lambda path: path.parent):
        if folder != home:  # beside the topics lies Feast's schema only
            parts = list(files)
            is_backfill = folder.relative_to(home).parts[0] == BACKFILLS
            latest = max(latest, max(map(read_latest, parts)) if is_backfill else _latest(parts))
    return latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What one partition's chain amounts to."""

    folder: str
    """Relative to the view's: `<topic>/<partition>`."""
    parts: int
    first: int
    next: int
    lost: int
    """Offsets that could not be read: retention deleted them before, or they were passed over."""


def chains(home: Path) -> tuple[Chain, ...]:
    """Sum up all chains in a view's folder by their footers. Raises `Refused` where one is damaged or broken."""
    footers = [
        (path.parent.relative_to(home).as_posix(), path)
        for path in part_files(home)
        if path.parent != home and "first" in read_metadata(path)  # beside the topics lies Feast's schema only
    ]
    return tuple(
        _sum_up(folder, [path for _, path in paths]) for folder, paths in groupby(footers, key=lambda item: item[0])
    )


def _sum_up(folder: str, paths: Iterable[Path]) -> Chain:
    read = [(path, read_footer(path)) for path in paths]
    for (_, before), (path, footer) in pairwise(read):
        if before.next != footer.first:
            message = f"the chain breaks at {path}: it begins at {footer.first}, the part before ends at {before.next}"
            raise Refused(message)
    footers = [footer for _, footer in read]
    return Chain(
        folder=folder,
        parts=len(footers),
        first=footers[0].first,
        next=footers[-1].next,
        lost=sum(footer.lost for footer in footers),
    )
