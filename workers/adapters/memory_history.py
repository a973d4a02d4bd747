"""Chains and a table of history in memory, for tests of what folds them.

In: rows, and exceptions to raise. Out: the same promises as `offline_fold` and `offline_table` keep. Knows no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from undertow.core.errors import Unavailable
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.stream.history_ports import FoldChain, FoldedUpTo, Move, PartPlace, Tidied


class MemoryFoldChains:
    """Chains by name; `parts` is theirs, by position."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[int, pa.Table]] = {}
        self.notes: dict[str, dict[int, FoldedUpTo]] = {}

    def append(self, name: str, position: int, rows: pa.Table) -> None:
        """Append a part, as a replica does."""
        self.parts.setdefault(name, {})[position] = rows
        self.notes.setdefault(name, {})

    def look(self) -> tuple[list[FoldChain], list[str]]:
        """See the port."""
        return [
            FoldChain(
                id=f"id of {name}",
                name=name,
                notes=tuple(self.notes[name][at] for at in sorted(self.notes[name])),
                parts=tuple(PartPlace(position=at, size=rows.nbytes) for at, rows in sorted(parts.items())),
            )
            for name, parts in sorted(self.parts.items())
        ], []

    def read(self, chain: FoldChain, positions: Sequence[int]) -> list[Any]:
        """See the port."""
        if gone := [position for position in positions if position not in self.parts[chain.name]]:
            message = f"the part at {gone[0]} of {chain.name} is gone"
            raise Unavailable(message)
        return [self.parts[chain.name][position] for position in positions]

    def keep(self, chain: FoldChain, before: int) -> None:
        """See the port: parts here say nothing but their rows."""

    def note(self, chain: FoldChain, upto: FoldedUpTo) -> None:
        """See the port."""
        self.notes[chain.name].setdefault(upto.position, upto)

    def delete(self, chain: FoldChain, before: FoldedUpTo) -> int:
        """See the port."""
        parts, notes = self.parts[chain.name], self.notes[chain.name]
        gone = [at for at in parts if at < before.position]
        for at in gone:
            del parts[at]
        for at in [at for at in notes if at < before.position]:
            del notes[at]
        return len(gone)


@dataclass(frozen=True, slots=True)
class _Version:
    files: tuple[pa.Table, ...] = ()
    folded: Mapping[str, int] = field(default_factory=dict)


class MemorySnapshot:
    """A `TableSnapshot`."""

    def __init__(self, table: "MemoryTable") -> None:
        self._table, self._version = table, table.version

    def folded(self, chain: str) -> int:
        """See the port."""
        return self._version.folded.get(chain, 0)

    def append(self, rows: Any, moves: Mapping[str, Move]) -> bool:
        """See the port."""
        newest = self._table.version
        for version in (self._version, newest):
            if any(version.folded.get(chain, 0) != move.begin for chain, move in moves.items()):
                return False
        moved = {**newest.folded, **{chain: move.upto for chain, move in moves.items()}}
        files = (*newest.files, rows) if len(rows) else newest.files
        self._table.version = self._version = _Version(files, moved)
        return True


class MemoryTable:
    """A `HistoryTable`."""

    def __init__(self) -> None:
        self.version = _Version()

    def snapshot(self) -> MemorySnapshot:
        """See the port."""
        return MemorySnapshot(self)

    def tidy(self, *, keep_since: date | None, readers_s: float) -> Tidied:  # noqa: ARG002
        """See the port: nothing to merge or to vacuum in memory."""
        if keep_since is None:
            return Tidied()
        kept = []
        for rows in self.version.files:
            days = pc.strftime(rows[EVENT_TIMESTAMP], "%Y-%m-%d")
            kept.append(rows.filter(pc.greater_equal(days, keep_since.isoformat())))
        expired = sum(len(rows) > len(left) for rows, left in zip(self.version.files, kept, strict=True))
        self.version = replace(self.version, files=tuple(kept))
        return Tidied(expired=expired)

    def rows(self) -> list[Any]:
        """Return all rows, as Python's."""
        return [row for rows in self.version.files for row in rows.to_pylist()]
