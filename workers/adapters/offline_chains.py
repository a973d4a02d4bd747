"""Check that the chains of a view are complete: that no part that was ever appended is missing.

In: a view's folder. Out: a summary of its chains, their holes, and the part files that are safe to read. Knows neither
who appends nor what the rows hold.

A part has a number in its footer, and is only appended if the part before it exists. So if the last of n parts is
number n - 1, none is missing, and one footer for each chain is enough. Otherwise, as in chains of earlier versions, all
footers are read. Parts that the chain notes as folded into the table of history (`offline_folded`) count as there.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from undertow.adapters.offline_folded import FoldMark, newest_mark, parts_before
from undertow.adapters.offline_footers import FoldedPart, folded_parts
from undertow.adapters.offline_names import part_name, part_names, position_of
from undertow.adapters.offline_parts import read_footer, translated
from undertow.adapters.part_footer import Footer
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.records import Partition
from undertow.storage.at_once import at_once
from undertow.storage.store_path import AnyPath, StorePath, below

BEGUN, NOTE = "_chains", ".begun"
"""The folder inside a view's with a note for each chain that was begun, and the notes' suffix. Readers of Parquet
ignore folders that begin with an underscore."""
MOVING = "_moving.json"
"""The note, in a view's folder in a store, that chains are being moved: some of their objects are in two places."""
TRIES = 3
"""How often a folder is listed before a part counts as missing: while parts are appended, a listing may lack one and
have the next. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The summary of one partition's chain."""

    folder: str
    """Relative to the view's folder: `<topic>/<partition>`."""
    parts: int
    first: int
    next: int
    lost: int
    """The number of offsets that could not be read: deleted by retention before, or skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Offsets `first <= offset < next` that are missing inside a chain."""

    folder: AnyPath
    first: int | None
    """None if the first part is missing, since only that one says where the chain began."""
    next: int
    partition: Partition
    cluster_id: str
    topic_id: str
    shift: int
    """`Footer.shift` of the part before."""
    next_shift: int
    """The shift of the part after the hole: greater if a missing part had turned the chain back."""
    begin: int = 0
    """The position at which the chain begins, after what was folded."""

    @property
    def path(self) -> AnyPath:
        """The path of the missing part, or of the first of several."""
        return self.folder / part_name(self.begin if self.first is None else self.first + self.shift)

    def __str__(self) -> str:
        """Return which offsets are missing, in words."""
        if self.first is not None and self.next <= self.first:
            return f"what it had before it was turned back to offset {self.next} ({self.path} is missing)"
        span = f"up to {self.next - 1}" if self.first is None else f"{self.first} to {self.next - 1}"
        return f"offsets {span} ({self.path} is missing)"


def find_holes(folder: AnyPath) -> tuple[list[str], list[Hole]]:
    """Return the names of a chain's parts that are not noted as folded, and its holes.

    Raises `Refused` for a damaged part, `Unavailable` if the last one is missing.
    """
    for _ in range(TRIES):
        folded = newest_mark(folder)  # before the listing: parts are deleted only after they were noted
        names = [name for name in part_names(folder) if position_of(name) >= folded.position]
        if not names:
            require_end(folder)
        if not names or is_counted(names, read_footer(folder / names[-1]), folded):
            return names, []
        holes = [*_walk(folder, names, folded)]
        if not any(hole.path.exists() for hole in holes):
            break
    return names, holes


def is_counted(names: list[str], last: Footer, folded: FoldMark) -> bool:
    """Whether the last part's number proves that no part is missing after what was folded."""
    return names[0] == part_name(folded.position) and last.number == folded.parts + len(names) - 1


def _walk(folder: AnyPath, names: list[str], folded: FoldMark) -> Iterator[Hole]:
    footers = [read_footer(folder / name) for name in names]

    def hole(first: int | None, behind: Footer, shift: int, next_shift: int) -> Hole:
        return Hole(
            folder=folder,
            first=first,
            next=behind.first,
            partition=behind.partition,
            cluster_id=behind.cluster_id,
            topic_id=behind.topic_id,
            shift=shift,
            next_shift=next_shift,
            begin=folded.position,
        )

    if names[0] != part_name(folded.position):
        before = next(folded_parts(folder, folded.position), None)
        shift = 0 if before is None else folded.position - before.next
        yield hole(None if before is None else before.next, footers[0], shift, _shift(names[0], footers[0]))
    for (ahead, after), name in zip(pairwise(footers), names[1:], strict=True):
        next_shift = _shift(name, after)
        if next_shift > ahead.shift and part_name(ahead.next + ahead.shift) < name:
            yield hole(ahead.next, after, ahead.shift, next_shift)
            continue
        if ahead.next > after.first:
            message = (
                f"the chain in {folder} breaks: a part begins at {after.first}, the part before it ends at "
                f"{ahead.next}; one of them is not its own: move it out of the folder"
            )
            raise Refused(message)
        if ahead.next < after.first:
            yield hole(ahead.next, after, ahead.shift, next_shift)


def _shift(name: str, footer: Footer) -> int:
    return position_of(name) - footer.first


def chain_folders(home: AnyPath) -> list[AnyPath]:
    """Return the folders of all chains of a view, also of topics that were created anew since.

    Raises `Unavailable`, also while chains are being moved.
    """
    require_still(home)
    with translated(home):
        named: list[AnyPath] = [
            folder
            for folder in home.glob("*/*")
            if folder.name.isdigit() and not folder.parent.name.startswith(("@", "_", "."))
        ]
        are_folders = at_once(lambda folder: folder.is_dir(), named)
    folders = sorted(folder for folder, is_folder in zip(named, are_folders, strict=True) if is_folder)
    require_still(home)  # again: it may have begun meanwhile
    return folders


def moving_to(home: AnyPath) -> str:
    """Return where chains of this view are being moved to in a store; empty if none are. Raises `Unavailable`."""
    if not isinstance(home, StorePath):
        return ""
    with translated(home / MOVING):
        try:
            return str(json.loads((home / MOVING).read_bytes())["to"])
        except FileNotFoundError:
            return ""
        except (ValueError, KeyError, TypeError) as error:
            message = f"{home / MOVING} is damaged ({error}); undertow maintain --set-aside writes it: restore it"
            raise Refused(message) from error


def require_still(home: AnyPath) -> None:
    """Raise `Unavailable` while chains of this view are being moved."""
    if target := moving_to(home):
        topic_id = target.rpartition("@")[2]
        message = (
            f"chains in {home} are being moved to {target}; it will be tried again. If nobody does it any more: "
            f"undertow maintain --set-aside {topic_id}"
        )
        raise Unavailable(message)


def chains(home: AnyPath) -> tuple[Chain, ...]:
    """Summarise all chains of a view, with what was folded, from their footers.

    Raises `Refused` if one is damaged or has a hole.
    """
    summed = []
    for folder, names in require_whole(home).items():
        if names:
            last = read_footer(folder / names[-1])
            with translated(folder):
                before = [*folded_parts(folder, position_of(names[0]))]
            parts: list[Footer | FoldedPart] = [*reversed(before), *(read_footer(folder / name) for name in names)]
            chain = Chain(
                folder=below(folder, home),
                parts=count_parts(folder, names),
                first=parts[0].first,
                next=last.next,
                lost=sum(part.lost for part in parts),
            )
            summed.append(chain)
    return tuple(summed)


def lacks_end(folder: AnyPath) -> bool:
    """Whether a chain lost all parts that are not noted as folded. Raises `Refused` for a damaged note, `OSError`."""
    folded = newest_mark(folder)
    return folded.position > 0 and not any(position_of(name) >= folded.position for name in part_names(folder))


def require_end(folder: AnyPath) -> None:
    """Raise `Unavailable` if a chain lost all parts that are not noted as folded."""
    if lacks_end(folder):
        message = (
            f"the chain in {folder} lacks its last part: expected {part_name(newest_mark(folder).position)} or a later "
            "one, up to which it was folded into the table of history, found none; it will be tried again. Mount its "
            "disk, or restore the file from a copy; to go on where the table ends, and read again what came after: "
            "undertow apply --accept-lost"
        )
        raise Unavailable(message)


def count_parts(folder: AnyPath, names: list[str]) -> int:
    """Return how many parts a whole chain has, folded ones included. `names` are those that were not folded.

    Raises `Refused` for a damaged note, `Unavailable` if another maintainer has removed it just now.
    """
    with translated(folder):
        return len(names) + (parts_before(folder, position_of(names[0])) if names else 0)


def require_whole(home: AnyPath) -> dict[AnyPath, list[str]]:
    """Return the parts of each chain of a view. Raises `Refused` if some are missing, with their offsets."""
    folders = chain_folders(home)
    looked = dict(zip(folders, at_once(_look, folders), strict=True))
    faults = [f"{below(folder, home)} lacks {hole}" for folder, (_, holes) in looked.items() for hole in holes]
    faults += [f"{partition} is missing whole (expected in {folder})" for partition, folder, _ in gone_chains(home)]
    if faults:
        message = f"the offline log in {home} is not whole: {'; '.join(faults)}. {MEND}"
        raise Refused(message)
    return {folder: names for folder, (names, _) in looked.items()}


def _look(folder: AnyPath) -> tuple[list[str], list[Hole]]:
    with translated(folder):
        return find_holes(folder)


MEND = "Mount its disk, or restore the files from a copy; to go on without them, for ever: undertow apply --accept-lost"


def begun_note(home: AnyPath, partition: Partition, *, topic_id: str, cluster_id: str) -> AnyPath:
    """Return the path of the note that a chain was begun, by which a chain that disappears is noticed.

    A topic that is created anew has chains of its own.
    """
    return home / BEGUN / partition.topic / f"{cluster_id}.{topic_id}.{partition.index}{NOTE}".replace("/", "_")


def gone_chains(home: AnyPath) -> Iterator[tuple[Partition, AnyPath, AnyPath]]:
    """Yield each chain that was begun but has no parts any more, with its folder and its note."""
    notes: list[AnyPath] = sorted((home / BEGUN).glob(f"*/*{NOTE}"))
    for gone in at_once(lambda note: _gone(home, note), notes):
        if gone is not None:
            yield gone


def _gone(home: AnyPath, note: AnyPath) -> tuple[Partition, AnyPath, AnyPath] | None:
    topic, (_, topic_id, index) = note.parent.name, note.name.removesuffix(NOTE).rsplit(".", 2)
    places = [home / topic / index, home / f"{topic}@{topic_id}" / index]
    if any(place.is_dir() and _listed(place) for place in places):
        return None
    return Partition(topic, int(index)), places[0], note


def _listed(folder: AnyPath) -> list[str]:
    with translated(folder):
        return part_names(folder)
