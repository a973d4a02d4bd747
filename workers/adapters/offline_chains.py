"""Check that the chains of a view are complete: every part that was ever appended is there.

In: a view's folder. Out: what its chains amount to, their holes, and the part files that readers may rely on. Knows
neither who appends nor what the rows hold.

A part numbers itself, and is only appended beside the one before it. So where the last of n parts is number n - 1 none
is missing, and one footer a chain has to be read. Else, as in chains of earlier versions, all footers are.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from undertow.adapters.offline_parts import Footer, part_files, read_footer, require_intact, translated
from undertow.core.errors import Refused
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.records import Partition

BEGUN, NOTE = "_chains", ".begun"
"""Below a view's folder: a note of each chain that was begun. Readers of Parquet look into no such folder."""
PART_NAME = re.compile(r"[0-9]{20}" + re.escape(SUFFIX)).fullmatch
TRIES = 3
"""A listing that goes on while parts are appended may lack one and have the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What one partition's chain amounts to."""

    folder: str
    """Relative to the view's: `<topic>/<partition>`."""
    parts: int
    first: int
    next: int
    lost: int
    """Offsets that could not be read: retention deleted them before, or they were skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Offsets `first <= offset < next` that a chain lacks, though it goes on behind them."""

    folder: Path
    first: int | None
    """None where the first part is missing, which alone knew where the chain began."""
    next: int
    partition: Partition
    cluster_id: str
    topic_id: str
    shift: int
    """`Footer.shift` of the part before."""
    next_shift: int
    """By what the part behind is shifted: more where a part is missing that turned the chain back."""

    @property
    def path(self) -> Path:
        """The part that is missing, or the first of several."""
        return self.folder / part_name(None if self.first is None else self.first + self.shift)

    def __str__(self) -> str:
        """Say which offsets are missing."""
        if self.first is not None and self.next <= self.first:
            return f"what it had before it was turned back to offset {self.next} ({self.path} is missing)"
        span = f"up to {self.next - 1}" if self.first is None else f"{self.first} to {self.next - 1}"
        return f"offsets {span} ({self.path} is missing)"


def part_name(first: int | None) -> str:
    """Return the name of the part that begins at an offset, shifted; None is the first part of a chain."""
    return f"{first or 0:020d}{SUFFIX}"


def part_names(folder: Path) -> list[str]:
    """Return the names of the parts in a chain's folder, in its order. Raises `OSError` where it cannot be read.

    Unlike the walk over all parts it looks at the names alone, so that a link that leads nowhere is a missing part.
    """
    return sorted(filter(PART_NAME, (path.name for path in folder.iterdir())))


def find_holes(folder: Path) -> tuple[list[str], list[Hole]]:
    """Return the names of a chain's parts, and where some are missing. Raises `Refused` for a damaged one."""
    for _ in range(TRIES):
        names = part_names(folder)
        if not names or is_counted(names, read_footer(folder / names[-1])):
            return names, []
        holes = [*_walk(folder, names)]
        if not any(hole.path.exists() for hole in holes):
            break
    return names, holes


def is_counted(names: list[str], last: Footer) -> bool:
    """Whether the last part's own number says that none is missing."""
    return names[0] == part_name(None) and last.number == len(names) - 1


def _walk(folder: Path, names: list[str]) -> Iterator[Hole]:
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
        )

    if names[0] != part_name(None):
        yield hole(None, footers[0], 0, _shift(names[0], footers[0]))
    for (before, after), name in zip(pairwise(footers), names[1:], strict=True):
        next_shift = _shift(name, after)
        if next_shift > before.shift and part_name(before.next + before.shift) < name:
            yield hole(before.next, after, before.shift, next_shift)
            continue
        if before.next > after.first:
            message = (
                f"the chain in {folder} breaks: a part begins at {after.first}, the part before it ends at "
                f"{before.next}; one of them is not its own: move it out of the folder"
            )
            raise Refused(message)
        if before.next < after.first:
            yield hole(before.next, after, before.shift, next_shift)


def _shift(name: str, footer: Footer) -> int:
    return int(name.removesuffix(SUFFIX)) - footer.first


def chain_folders(home: Path) -> list[Path]:
    """Return the folders of all chains of a view, those of topics that were made anew among them."""
    return sorted(
        folder
        for folder in home.glob("*/*")
        if folder.name.isdigit() and not folder.parent.name.startswith(("@", "_", ".")) and folder.is_dir()
    )


def chains(home: Path) -> tuple[Chain, ...]:
    """Sum up all chains of a view by all their footers. Raises `Refused` where one is damaged or has a hole."""
    require_whole(home)
    summed = []
    for folder in chain_folders(home):
        footers = [read_footer(folder / name) for name in part_names(folder)]
        if footers:
            chain = Chain(
                folder=folder.relative_to(home).as_posix(),
                parts=len(footers),
                first=footers[0].first,
                next=footers[-1].next,
                lost=sum(footer.lost for footer in footers),
            )
            summed.append(chain)
    return tuple(summed)


def require_whole(home: Path) -> dict[Path, list[str]]:
    """Return the parts of each chain of a view. Raises `Refused` where some are missing, with their offsets."""
    found, faults = {}, []
    for folder in chain_folders(home):
        with translated(folder):
            names, holes = find_holes(folder)
        found[folder] = names
        faults += [f"{folder.relative_to(home)} lacks {hole}" for hole in holes]
    faults += [f"{partition} is missing whole (expected in {folder})" for partition, folder, _ in gone_chains(home)]
    if faults:
        message = f"the offline log in {home} is not whole: {'; '.join(faults)}. {MEND}"
        raise Refused(message)
    return found


MEND = "Mount its disk, or restore the files from a copy; to go on without them, for ever: undertow apply --accept-lost"


def whole_parts(home: Path) -> list[Path]:
    """Return all part files of a view, of chains and of backfills. Raises `Refused` where a chain has a hole."""
    listed = require_whole(home)
    others = [path for path in part_files(home) if not (path.parent in listed and PART_NAME(path.name))]
    return sorted([*others, *(folder / name for folder, names in listed.items() for name in names)])


def sound_parts(home: Path) -> list[Path]:
    """Return all part files of a view, of which none is missing and no bit has changed. Raises `Refused`."""
    files = whole_parts(home)
    require_intact(files)
    return files


def begun_note(home: Path, partition: Partition, *, topic_id: str, cluster_id: str) -> Path:
    """Return where it is noted that a chain has begun, so that it is missed where it is gone.

    A topic made anew has chains of its own.
    """
    return home / BEGUN / partition.topic / f"{cluster_id}.{topic_id}.{partition.index}{NOTE}".replace("/", "_")


def gone_chains(home: Path) -> Iterator[tuple[Partition, Path, Path]]:
    """Yield each chain that was begun and has no part any more: with its folder, and its note."""
    for note in sorted((home / BEGUN).glob(f"*/*{NOTE}")):
        topic, (_, topic_id, index) = note.parent.name, note.name.removesuffix(NOTE).rsplit(".", 2)
        places = [home / topic / index, home / f"{topic}@{topic_id}" / index]
        if not any(place.is_dir() and _listed(place) for place in places):
            yield Partition(topic, int(index)), places[0], note


def _listed(folder: Path) -> list[str]:
    with translated(folder):
        return part_names(folder)
