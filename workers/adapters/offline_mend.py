"""Close holes in the chains of the offline log by recording the missing offsets as lost.

In: a view's folder. Out: parts without rows where others were, and a line for each. Knows no broker: what it may still
hold is not read again, but behind the end of a chain, where reading goes on.
"""

import time
from collections.abc import Iterator
from itertools import takewhile

import numpy as np

from undertow.adapters.offline_chains import Hole, chain_folders, find_holes, gone_chains, lacks_end
from undertow.adapters.offline_files import publish
from undertow.adapters.offline_folded import FoldMark, add_mark, newest_mark
from undertow.adapters.offline_footers import folded_parts
from undertow.adapters.offline_history import folded_until
from undertow.adapters.offline_names import part_name
from undertow.adapters.offline_parts import encode_part, no_rows, translated
from undertow.adapters.part_footer import Footer
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath, below


def accept_holes(home: AnyPath, view: SpaceView) -> Iterator[str]:
    """Close the holes of all chains; yield a line for each."""
    for folder in chain_folders(home):
        if (said := _end_anew(home, folder, view, time.time())) is not None:
            yield f"{view.view}: {below(folder, home)} {said}"
        for hole in find_holes(folder)[1]:
            content = _part(hole, view)
            if publish(hole.path, content, within=folder):
                yield f"{view.view}: {below(folder, home)} goes on without {hole}: noted as lost"
    for partition, folder, note in gone_chains(home):
        note.unlink(missing_ok=True)
        yield f"{view.view}: {partition} goes on without its chain (expected in {folder}): it begins anew"


def _end_anew(home: AnyPath, folder: AnyPath, view: SpaceView, now_s: float) -> str | None:
    """Let a chain that lost its last part end where the table does, by a part without rows; say so in words."""
    with translated(folder):
        if not lacks_end(folder):
            return None
        noted, end = newest_mark(folder), folded_until(home, folder)
        found = list(takewhile(lambda part: part.position >= noted.position, folded_parts(folder, end)))
        last = next(folded_parts(folder, end))
        mark = FoldMark(position=end, parts=noted.parts + len(found), at_s=now_s)
        footer = Footer(
            partition=last.partition,
            first=last.next,
            next=last.next,
            lost=0,
            space=view.space,
            cluster_id=last.cluster_id,
            topic_id=last.topic_id,
            writer="accepted",
            number=mark.parts,
            mark=last.mark,
            shift=end - last.next + 1,
        )
        if end > noted.position:
            add_mark(folder, mark)
        publish(folder / part_name(end), _encode(footer, view, last.latest_us), within=folder)
    return f"goes on at offset {last.next:,}, where the table of history ends: what it had after that is read again"


def _part(hole: Hole, view: SpaceView) -> bytes:
    first = hole.next if hole.first is None else hole.first
    footer = Footer(
        partition=hole.partition,
        first=first,
        next=hole.next,
        lost=max(0, hole.next - first),
        space=view.space,
        cluster_id=hole.cluster_id,
        topic_id=hole.topic_id,
        writer="accepted",
        shift=hole.next_shift,
    )
    return _encode(footer, view)


def _encode(footer: Footer, view: SpaceView, latest_us: int = 0) -> bytes:
    return encode_part(
        no_rows(view),
        view,
        metadata=footer.to_metadata(),
        latest_us=latest_us,
        origin=(footer.partition.index, np.empty(0, np.int64)),
    )
