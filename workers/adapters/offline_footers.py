"""The footers of parts that were folded: what a chain lost, where its parts ended, and the marks of records.

In: a chain's folder. Out: compressed files in its subfolder `_folded`, from which the footers are read again when the
parts are deleted. Knows no table.

A file `<begin>-<end>.footers.gz` has all parts at these positions, without its end. Each is created once and never
changed. A new one takes in those before it that are no larger, so there are as many as the logarithm of all parts;
which others have is then deleted. So files may overlap, but nothing before the greatest end is missing.

What is old is summed up: runs of parts are kept as one, which says what the first and the last of them said, and what
all of them lost. So a chain's files, and the memory to read them, do not grow by each part for ever.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_folded import FOLDER, all_marks, newest_mark
from undertow.adapters.offline_names import part_names, position_of
from undertow.adapters.offline_parts import read_footer, read_latest, translated
from undertow.adapters.part_footer import Footer
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.records import Partition
from undertow.storage.at_once import at_once
from undertow.storage.store_path import AnyPath
from undertow.stream.failpoints import hit_failpoint
from undertow.stream.record_marks import Mark, RefusedRecord

NAME = re.compile(r"([0-9]{20})-([0-9]{20})\.footers\.gz").fullmatch
"""No reader of Parquet takes it for a part."""
FINE, RUN = 10_000, 256
"""The newest parts are kept one by one, hours of them, so that a chain is turned back to the very part; of older ones
at most so many are kept as one, minutes. Choices."""
AHEAD = 64
"""At most so many footers are read before they are asked for: four rounds of requests to a store. Fewer at first, since
most callers need the newest alone. Choices."""
TRIES = 3
"""How often a file is looked for that another maintainer has just merged. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedPart:
    """What the footer of a part said, see `Footer`, or those of a run of parts."""

    position: int
    partition: Partition
    cluster_id: str
    topic_id: str
    first: int
    next: int
    lost: int
    shift: int
    latest_us: int
    """The `created_us` with which the part ended."""
    mark: Mark | None
    parts: int = 1
    """How many it stands for."""
    refused: tuple[RefusedRecord, ...] = ()
    """See `ChainEnd.refused`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: AnyPath
    begin: int
    end: int


def keep_footers(folder: AnyPath, before: int) -> None:
    """Keep the footers of all parts of a chain before a position, durable on return. Any number may do so at once.

    The chain must have no hole. Raises `Refused`, `Unavailable`.
    """
    for left in reversed(range(TRIES)):
        try:
            if _keep(folder, before):
                return
        except Unavailable:
            if not left:
                raise
    message = f"the footers of {folder} are being kept by another maintainer; it will be tried again"
    raise Unavailable(message)


def _keep(folder: AnyPath, before: int) -> bool:
    begin = end = kept_until(folder)
    if end >= before:
        return True
    names = [name for name in part_names(folder) if end <= position_of(name) < before]
    parts = at_once(_part, [folder / name for name in names])
    if kept_until(folder) != end:
        return False  # parts that we did not see may have been deleted since
    content = _encode(parts)
    while (file := _file_before(folder, begin)) is not None:
        if file.path.stat().st_size > len(content):
            break
        parts = _summed(folder, [*(part for part in _read(file.path) if part.position < begin), *parts])
        begin, content = file.begin, _encode(parts)
    publish(folder / FOLDER / f"{begin:020d}-{before:020d}.footers.gz", content, within=folder)
    hit_failpoint("after_fold_footers")
    _drop_covered(folder)
    return True


def _summed(folder: AnyPath, parts: list[FoldedPart]) -> list[FoldedPart]:
    """Sum up all but the newest of these, in runs that end where somebody may ask for what is before.

    That is where the chain notes that it was folded up to, where the table may end after that, and where files do.
    """
    if len(parts) <= FINE:
        return parts
    notes = [mark.position for mark in all_marks(folder)]
    cuts = {*notes, *(place for file in _files(folder) for place in (file.begin, file.end))}
    summed, fine = parts[:1], len(parts) - FINE
    for number, part in enumerate(parts[1:], 1):
        last = summed[-1]
        is_old = number < fine and part.position < max(notes, default=0)
        is_straight = last.first <= last.next == part.first <= part.next and last.shift == part.shift
        # What was refused is asked for up to the place that a chain was turned back to, which may lie within a run.
        is_straight = is_straight and not (last.refused or part.refused)
        if is_old and is_straight and part.position not in cuts and last.parts + part.parts <= RUN:
            summed[-1] = replace(
                part,
                position=last.position,
                first=last.first,
                lost=last.lost + part.lost,
                latest_us=max(last.latest_us, part.latest_us),
                parts=last.parts + part.parts,
            )
        else:
            summed.append(part)
    return summed


def kept_until(folder: AnyPath) -> int:
    """Return the position before which all footers are kept."""
    return max((file.end for file in _files(folder)), default=0)


def folded_parts(folder: AnyPath, before: int) -> Iterator[FoldedPart]:
    """Yield the parts of a chain before a position that was folded up to, newest first, old ones in runs.

    Files are read as needed.

    Raises `Refused` if a file is missing or damaged, `Unavailable`.
    """
    left = TRIES
    while before > 0:
        file = _file_before(folder, before)
        if file is None:
            message = (
                f"{folder / FOLDER} lacks the footers of the parts before {before}, which were folded into the table "
                "of history; restore it from a copy"
            )
            raise Refused(message)
        try:
            found = _read(file.path)
        except Unavailable:  # another maintainer has merged it
            left -= 1
            if not left:
                raise
            continue
        yield from reversed([part for part in found if part.position < before])
        before = file.begin


def parts_backwards(folder: AnyPath) -> Iterator[Footer | FoldedPart]:
    """Yield what all parts of a chain say, newest first, folded ones included. Raises as `folded_parts`."""
    with translated(folder):
        begin = newest_mark(folder).position
        names = [name for name in reversed(part_names(folder)) if position_of(name) >= begin]
    count = 1
    while names:
        yield from at_once(read_footer, [folder / name for name in names[:count]])
        names, count = names[count:], min(2 * count, AHEAD)
    yield from folded_parts(folder, begin)


def _file_before(folder: AnyPath, position: int) -> _File | None:
    """Return the file that has the part before a position, and the most parts before that."""
    files = [file for file in _files(folder) if file.begin < position <= file.end]
    return min(files, key=lambda file: file.begin, default=None)


def _drop_covered(folder: AnyPath) -> None:
    files = _files(folder)
    for file in files:
        if any(one.begin <= file.begin and file.end <= one.end and one != file for one in files):
            file.path.unlink(missing_ok=True)


def _files(folder: AnyPath) -> list[_File]:
    try:
        paths: list[AnyPath] = [*(folder / FOLDER).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = ((path, NAME(path.name)) for path in sorted(paths))
    return [_File(path=path, begin=int(said[1]), end=int(said[2])) for path, said in found if said]


def _part(path: AnyPath) -> FoldedPart:
    footer = read_footer(path)
    return FoldedPart(
        position=position_of(path.name),
        partition=footer.partition,
        cluster_id=footer.cluster_id,
        topic_id=footer.topic_id,
        first=footer.first,
        next=footer.next,
        lost=footer.lost,
        shift=footer.shift,
        latest_us=read_latest(path),
        mark=footer.mark,
        refused=footer.refused,
    )


def _encode(parts: list[FoldedPart]) -> bytes:
    rows = [
        (
            *(part.position, part.first, part.next, part.lost, part.shift, part.latest_us),
            part.mark and (part.mark.offset, part.mark.epoch, part.mark.digest),
            *([part.parts] if part.parts > 1 or part.refused else []),
            *([list(map(str, part.refused))] if part.refused else []),
        )
        for part in parts
    ]
    last = parts[-1]  # of whom all are is the same along a chain
    said = {
        "topic": last.partition.topic,
        "partition": last.partition.index,
        "cluster_id": last.cluster_id,
        "topic_id": last.topic_id,
        "parts": rows,
    }
    return gzip.compress(json.dumps(said, separators=(",", ":")).encode(), mtime=0)


def _read(path: AnyPath) -> list[FoldedPart]:
    with translated(path):
        content = path.read_bytes()
    try:
        said = json.loads(gzip.decompress(content))
        return [
            FoldedPart(
                position=position,
                partition=Partition(said["topic"], said["partition"]),
                cluster_id=said["cluster_id"],
                topic_id=said["topic_id"],
                first=first,
                next=after,
                lost=lost,
                shift=shift,
                latest_us=latest_us,
                mark=None if mark is None else Mark(offset=mark[0], epoch=mark[1], digest=mark[2]),
                parts=more[0] if more else 1,
                refused=tuple(map(RefusedRecord.parse, more[1])) if more[1:] else (),
            )
            for position, first, after, lost, shift, latest_us, mark, *more in said["parts"]
        ]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, LookupError) as error:
        message = f"{path} is damaged ({error}); restore it from a copy"
        raise Refused(message) from error
