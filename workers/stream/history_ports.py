"""The ports of the maintainer: chains, which are written to all the time, and the table that they are folded into.

In: parts of chains. Out: rows in a table, and what each chain remembers of it. Knows neither folders nor Delta Lake.

A *position* is a part's place in its chain: greater for later parts, even where a chain was turned back and offsets
repeat. A table keeps, for each chain, the position up to which it has the chain's rows. It changes both in one
transaction, so a row is either in the table or in a part at or after that position.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPlace:
    """A part of a chain."""

    position: int
    size: int
    """Bytes."""
    files: int = 1
    """How many files it is: those of a batch of chunks are read and deleted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedUpTo:
    """A chain's own note that the parts before a position are in the table."""

    position: int
    parts: int
    """How many parts the chain had before it, deleted ones included."""
    at_s: float
    """When it was noted, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldChain:
    """A chain as it is listed. No part at or after the newest note is missing.

    The chunks of a backfill job are one, too: its parts are batches of chunks, its last one is still to be filled.
    """

    id: str
    """A nonce: a chain that is begun anew is another one."""
    name: str
    """For people and for the port: `<topic>/<partition>`, or the folder of a job."""
    notes: tuple[FoldedUpTo, ...]
    """Oldest first; none before the first fold."""
    parts: tuple[PartPlace, ...]
    """Those that are there, in order, folded ones included; at least one, since the last is never deleted."""
    waiting: int = 0
    """How many files more there are that can be folded later: chunks of a job that may go on."""

    @property
    def noted(self) -> FoldedUpTo:
        """The newest note."""
        return self.notes[-1] if self.notes else FoldedUpTo(position=0, parts=0, at_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From which position to which a transaction moves a chain."""

    begin: int
    upto: int


class Chains(Protocol):
    """The chains of one view.

    Where another chain has taken the place of one since `look`, all but `look` raise `Unavailable`, and change nothing.
    """

    def look(self) -> tuple[list[FoldChain], list[str]]:
        """Return all chains with parts, and a sentence for each that cannot be folded now, as one with a hole."""

    def read(self, chain: FoldChain, positions: Sequence[int]) -> Sequence[Any]:
        """Return the rows of parts as Arrow tables, in order. Raises `Refused` if one is damaged, `Unavailable`."""

    def keep(self, chain: FoldChain, before: int) -> None:
        """Keep what the parts before a position say besides their rows, durable on return.

        To be called before their transaction, so that whatever a table has, the chain can tell of.
        """

    def note(self, chain: FoldChain, upto: FoldedUpTo) -> None:
        """Note it, durable on return; a note of the same position stays as it is."""

    def delete(self, chain: FoldChain, before: FoldedUpTo) -> int:
        """Delete the parts before a noted position, and older notes; return how many parts were there to delete."""


class TableSnapshot(Protocol):
    """One version of the table. `append` moves it on to the newest one; nothing else does."""

    def folded(self, chain: str) -> int:
        """Return the position up to which the table has the rows of this chain; 0 if it has none."""

    def append(self, rows: Any, moves: Mapping[str, Move]) -> bool:
        """Add the rows of an Arrow table, and move their chains, by id, in one transaction.

        Return False, with nothing added, if somebody else has moved one of these chains from where its move begins.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What was done to a table besides folding."""

    compacted: int = 0
    """How many files were replaced by larger ones."""
    expired: int = 0
    """How many files were removed as older than history is kept."""
    vacuumed: int = 0
    """How many files that no version within the time for readers has were deleted."""


class HistoryTable(Protocol):
    """The table of one view's history."""

    def snapshot(self) -> TableSnapshot:
        """Return the newest version; make the table if there is none."""

    def tidy(self, *, keep_since: date | None, readers_s: float) -> Tidied:
        """Merge small files, remove days before `keep_since`, and delete files unused for `readers_s` seconds.

        Rows of other days stay as they are. May run beside any other maintainer.
        """


def count_before(chain: FoldChain, position: int) -> int:
    """Return how many parts the chain had before a position, at or after its newest note."""
    begin = chain.noted
    return begin.parts + sum(begin.position <= part.position < position for part in chain.parts)


def positions(parts: Iterable[PartPlace]) -> list[int]:
    """Return the positions of parts."""
    return [part.position for part in parts]
