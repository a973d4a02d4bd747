"""Close holes in the chains of the offline log by recording the missing offsets as lost.

In: a view's folder. Out: parts without rows where others were, and a line for each. Knows no broker: what it may still
hold is not read again.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from undertow.adapters.offline_chains import Hole, chain_folders, find_holes, gone_chains
from undertow.adapters.offline_files import publish
from undertow.adapters.offline_parts import Footer, encode_part, no_rows
from undertow.schemas.spaces import SpaceView


def accept_holes(home: Path, view: SpaceView) -> Iterator[str]:
    """Close the holes of all chains; yield a line for each."""
    for folder in chain_folders(home):
        for hole in find_holes(folder)[1]:
            content = _part(hole, view)
            if publish(hole.path, content, within=folder):
                yield f"{view.view}: {folder.relative_to(home)} goes on without {hole}: noted as lost"
    for partition, folder, note in gone_chains(home):
        note.unlink(missing_ok=True)
        yield f"{view.view}: {partition} goes on without its chain (expected in {folder}): it begins anew"


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
    return encode_part(
        no_rows(view),
        view,
        metadata=footer.to_metadata(),
        origin=(hole.partition.index, np.empty(0, np.int64)),
    )
