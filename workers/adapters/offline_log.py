"""The offline log in a folder: the history of all embeddings, and the record of each partition's progress.

In: parts. Out: `<root>/<view>/<topic>/<partition>/<first>.parquet`, one linear chain of files for each partition.
Knows neither Kafka's client nor Feast, which reads `<root>/<view>` as one table.
"""

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import numpy as np

from undertow.adapters.offline_batches import folded_chunks, is_chunk, job_folders
from undertow.adapters.offline_chains import MEND, begun_note, chain_folders, count_parts, find_holes, require_end
from undertow.adapters.offline_files import publish, require_folder, sweep, sync_names
from undertow.adapters.offline_folded import newest_mark
from undertow.adapters.offline_footers import folded_parts, parts_backwards
from undertow.adapters.offline_names import part_name, part_names
from undertow.adapters.offline_parts import (
    encode_part,
    is_intact,
    is_of_same,
    no_rows,
    part_files,
    read_footer,
    read_latest,
    translated,
)
from undertow.adapters.offline_root import LogIdentity, read_nonce, require_own, view_folder
from undertow.adapters.part_footer import Footer
from undertow.core.errors import Refused, Replaced, Unavailable
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.storage.fault_words import LET_READ, why
from undertow.storage.store_path import AnyPath
from undertow.stream.ports import ChainPart, Clock
from undertow.stream.record_marks import ChainEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The end of a chain."""

    name: str
    """The name of the last part."""
    next: int
    parts: int
    shift: int
    """See `Footer.shift`."""


class FileOfflineLog:
    """The chains of one topic in one view. Whoever is first to publish a part at a place owns it; nothing is deleted.

    The first part of a chain is always named 0, wherever it begins: so two owners that both found the chain empty
    compete for the same name, even if retention or a commit made them begin at different offsets. A chain that was
    turned back contains offsets twice; from then on, names of parts are ahead of their offsets (`Footer.shift`).
    """

    def __init__(
        self, root: AnyPath, view: SpaceView, *, cluster_id: str, topic_id: str, writer: str, clock: Clock
    ) -> None:
        """`clock` gives seconds since the epoch; `writer` is a label for people. The folder must have been claimed."""
        self._home, self._view = view_folder(root, view), view
        self._log = LogIdentity(root=root, nonce=read_nonce(root))
        require_own(self._home, view)
        self._cluster_id, self._topic_id = cluster_id, topic_id
        self._writer, self._clock = writer, clock
        self._token = uuid.uuid4().hex  # so that no two owners ever write the same bytes, see `publish`
        self._ends: dict[Partition, _End | None] = {}
        self._latest: dict[Partition, int] = {}

    def end(self, partition: Partition) -> int | None:
        """Return where the chain ends, None if there is none.

        Raises `Refused` for a damaged last part, and for a chain of another cluster or topic id; `Unavailable` if the
        folder or a part of the chain is missing or cannot be read now.
        """
        folder = self._folder(partition)
        try:
            self._require_log()  # an empty chain is one in a folder that is there
            end, latest_us = self._find_end(folder, self._begun(partition))
        except PermissionError as error:
            message = f"the chain in {folder} cannot be read {why(folder, error, LET_READ)}"
            raise Refused(message) from error
        except OSError as error:
            what = why(folder, error, "repair its disk")
            message = f"the chain in {folder} could not be read {what}: it will be tried again"
            raise Unavailable(message) from error
        self._ends[partition], self._latest[partition] = end, latest_us
        return None if end is None else end.next

    def latest(self, partition: Partition) -> int:
        """Return the `created_us` with which the chain ended at the last `end` or `publish`; 0 if there is none."""
        return self._latest.get(partition, 0)

    def publish(self, part: ChainPart) -> None:
        """Append a part. Durable on return. Raises `Replaced`, `Unavailable` or `Refused`."""
        if part.next <= part.first:
            message = f"a part of {part.partition} must move its chain, but reaches from {part.first} to {part.next}"
            raise ValueError(message)
        if part.partition not in self._ends:
            self.end(part.partition)
        end = self._ends[part.partition]
        if end is not None and part.first > end.next:
            message = (
                f"the chain of {part.partition} ends at {end.next}; a part that begins at {part.first} leaves a gap"
            )
            raise ValueError(message)
        name = part_name(None if end is None else part.first + end.shift)
        self._append(part, name, end, is_ours=end is None or part.first == end.next)

    def places(self, partition: Partition) -> Iterator[ChainEnd]:
        """Return where the parts of a chain end, newest first, without those from which it was turned back.

        Raises `Refused` for a damaged part, `Unavailable`.
        """
        limit = math.inf
        for part in parts_backwards(self._folder(partition)):
            if part.next <= limit:
                yield ChainEnd(next=part.next, mark=part.mark, refused=part.refused)
                limit = part.next if part.next < part.first else limit

    def turn_back(self, partition: Partition, place: ChainEnd) -> None:
        """Append a part without rows whose end is before its beginning. Durable on return. Raises as `publish`."""
        end = self._ends[partition]
        if end is None or place.next >= end.next:
            message = f"the chain of {partition} ends at {end and end.next} and cannot be turned back to {place.next}"
            raise ValueError(message)
        turn = ChainPart(
            partition=partition,
            first=end.next,
            next=place.next,
            embeddings=no_rows(self._view),
            offsets=np.empty(0, np.int64),
            created_us=self._latest[partition],
            mark=place.mark,
        )
        self._append(turn, part_name(end.next + end.shift), end, is_ours=True)

    def _append(self, part: ChainPart, name: str, end: _End | None, *, is_ours: bool) -> None:
        shift = (0 if end is None else end.shift) + max(0, part.first + 1 - part.next)
        number, folder = 0 if end is None else end.parts, self._folder(part.partition)
        if not is_ours or not self._publish(folder / name, part, number, shift):
            message = (
                f"another owner has appended to the chain of {part.partition} at {part.first} ({folder}): "
                "this replica has been replaced"
            )
            raise Replaced(message)
        self._ends[part.partition] = _End(name=name, next=part.next, parts=number + 1, shift=shift)
        self._latest[part.partition] = part.created_us

    def _publish(self, path: AnyPath, part: ChainPart, number: int, shift: int) -> bool:
        self._require_log()
        content = self._encode(part, number, shift)
        if (end := self._ends[part.partition]) is not None:  # whoever continues a chain creates no folder
            return publish(path, content, within=path.parent, after=end.name) or is_of_same(path, content)
        is_ours = publish(path, content, within=self._home) or is_of_same(path, content)
        publish(self._begun(part.partition), b"", within=self._home)
        return is_ours

    def _require_log(self) -> None:
        require_folder(self._home)
        self._log.require_still()

    def _begun(self, partition: Partition) -> AnyPath:
        return begun_note(self._home, partition, topic_id=self._topic_id, cluster_id=self._cluster_id)

    def _encode(self, part: ChainPart, number: int, shift: int) -> bytes:
        footer = Footer(
            partition=part.partition,
            first=part.first,
            next=part.next,
            lost=part.lost,
            space=self._view.space,
            cluster_id=self._cluster_id,
            topic_id=self._topic_id,
            writer=self._writer,
            number=number,
            mark=part.mark,
            shift=shift,
            refused=part.refused,
        )
        return encode_part(
            part.embeddings,
            self._view,
            metadata={**footer.to_metadata(), "token": self._token},
            latest_us=part.created_us,
            origin=(part.partition.index, part.offsets),
        )

    def _folder(self, partition: Partition) -> AnyPath:
        return self._home / partition.topic / str(partition.index)

    def _find_end(self, folder: AnyPath, begun: AnyPath) -> tuple[_End | None, int]:
        try:
            names = part_names(folder)  # unlike `glob`, raises if the folder cannot be read
        except FileNotFoundError:
            names = []
        require_end(folder)
        if not names:
            if begun.exists():
                message = (
                    f"the log's folder {folder} is gone, or empty, though its chain was begun: mount its disk again, "
                    f"or restore it from a copy; it will be tried again (to begin the chain anew, remove {begun})"
                )
                raise Unavailable(message)
            self._check_neighbour(folder)
            return None, 0
        sweep(folder, now=self._clock())
        sync_names(folder)  # a predecessor may have died between its link and its fsync
        is_intact(folder / names[-1])
        self._check_identity(read_footer(folder / names[-1]))
        names, holes = find_holes(folder)
        if holes:
            message = f"the chain in {folder} lacks {'; '.join(map(str, holes))}; it will be tried again. {MEND}"
            raise Unavailable(message)
        if not begun.exists():  # written by an earlier version, or by a process that died just then
            publish(begun, b"", within=self._home)
        last = read_footer(folder / names[-1])
        end = _End(name=names[-1], next=last.next, parts=count_parts(folder, names), shift=last.shift)
        return end, _latest_of(folder, names)

    def _check_neighbour(self, folder: AnyPath) -> None:
        """Raise `Refused` if the folder holds chains of another topic id, which may be moved away."""
        if (footer := next(last_footers(folder.parent), None)) is not None:
            self._check_identity(footer)  # one is enough: all are moved together

    def _check_identity(self, footer: Footer) -> None:
        _require_identity(self._home, footer, cluster_id=self._cluster_id, topic_id=self._topic_id)


def require_topic(home: AnyPath, topic: str, *, cluster_id: str, topic_id: str) -> None:
    """Raise `Refused` if chains of a view come from another topic of this name. Changes nothing."""
    for footer in last_footers(home / topic):
        _require_identity(home, footer, cluster_id=cluster_id, topic_id=topic_id)


def last_footers(topic: AnyPath) -> Iterator[Footer]:
    """Yield the footer of the last part of each chain of a topic."""
    folders: list[AnyPath] = [*topic.glob("[0-9]*")]
    for folder in sorted(folders):
        if names := part_names(folder):
            yield read_footer(folder / names[-1])


def _require_identity(home: AnyPath, footer: Footer, *, cluster_id: str, topic_id: str) -> None:
    found, expected = (footer.cluster_id, footer.topic_id), (cluster_id, topic_id)
    if found == expected:
        return
    folder = home / footer.partition.topic
    moved = f"{folder} {folder}@{found[1]}"
    move = f"mv {moved}" if isinstance(folder, Path) else f"undertow maintain --set-aside {found[1]}"
    message = (
        f"the offline log of {footer.partition} comes from topic id {found[1]} of cluster {found[0]}, but the "
        f"broker now has topic id {expected[1]} of cluster {expected[0]}: the topic was deleted and made anew, or "
        "this is another broker, so offsets begin again. To start from the new topic's beginning and keep the old "
        f"rows readable: {move}"
    )
    raise Refused(message)


def _latest_of(folder: AnyPath, names: Sequence[str]) -> int:
    """Return the `created_us` with which a chain ends; its last part has it, unless an earlier version wrote that."""
    told = (read_latest(folder / name) for name in reversed(names))
    folded = (part.latest_us for part in folded_parts(folder, newest_mark(folder).position))
    return next(filter(None, chain(told, folded)), 0)


def latest_in(home: AnyPath) -> int:
    """Return the greatest `created_us` in a view's folder, of chains and backfills; 0 if there are no rows.

    Raises `Refused` for a damaged part, `Unavailable`.
    """
    latest = 0
    for folder, files in groupby(part_files(home), key=lambda path: path.parent):
        if folder != home:  # beside the topics lies Feast's schema only
            parts = list(files)
            is_job, names = is_chunk(parts[0], home), [path.name for path in parts]
            latest = max(latest, max(map(read_latest, parts)) if is_job else _latest_of(folder, names))
    for job in job_folders(home):
        latest = max(latest, *folded_chunks(job).values(), 0)  # whose files may be deleted
    for folder in chain_folders(home):
        with translated(folder):
            is_lost = not part_names(folder)
        latest = max(latest, _latest_of(folder, []) if is_lost else 0)
    return latest
