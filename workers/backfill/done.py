"""Find the chunks that earlier runs of a job have done, including runs of earlier versions where they can be trusted.

In: chunks, the job's parts. Out: the part of each that is done, and a line for what must be done again. Knows no Ray.

Earlier versions named a chunk by the name, the size and the footer of its file, which a rewrite may keep. Such parts
are trusted if the file was last changed before they were written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from undertow.adapters.offline_batches import folded_chunks
from undertow.adapters.offline_history import job_ends
from undertow.adapters.offline_parts import part_files, read_latest
from undertow.backfill.chunks import Chunk
from undertow.backfill.digests import Digests, changed_ns
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.wording import counted
from undertow.storage.store_path import AnyPath

US_NS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneBefore:
    """The chunks that need not be embedded again."""

    parts: Mapping[Chunk, str]
    """The name of the part of each chunk, without its suffix."""
    said: tuple[str, ...]


def find_done(chunks: Sequence[Chunk], job: AnyPath, history: AnyPath, digests: Digests) -> DoneBefore:
    """Find the chunks' parts in the job's folder.

    Raises `Refused` for a damaged part, and for notes that do not fit the table of history, `Unavailable`.
    """
    job_ends(job.parent.parent)(job)
    folded = folded_chunks(job)
    there = {path.stem for path in part_files(job)} | {*folded}
    parts = {chunk: chunk.id for chunk in chunks if chunk.id in there}
    again = []
    for name, cut in groupby(chunks, key=lambda chunk: chunk.path):
        old = [chunk for chunk in cut if chunk not in parts and chunk.old_id in there]
        if not old:
            continue
        path, identity = history / name, old[0].old_id
        if not digests.trusts(path, identity):
            latest = (folded.get(chunk.old_id) or read_latest(job / f"{chunk.old_id}{SUFFIX}") for chunk in old)
            made_us = [us for us in latest if us]
            if not made_us or changed_ns(old[0].stamp) >= min(made_us) * US_NS:
                again.append(name)
                continue
            digests.trust(path, identity)
        parts |= {chunk: chunk.old_id for chunk in old}
    if not again:
        return DoneBefore(parts=parts, said=())
    said = (
        f"{counted(len(again), 'file')} embedded by an earlier version, and changed since or copied, so that "
        f"its notes do not tell whether the same is there: embedded again ({', '.join(again[:5])})"
    )
    return DoneBefore(parts=parts, said=(said,))
