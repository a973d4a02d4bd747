"""Decide what to fold and what to delete: pure functions of what was listed.

In: chains as they are listed, the positions that a table has. Out: batches to append in one transaction each; notes up
to which parts may be deleted. Knows neither files nor a table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from undertow.core.errors import Refused
from undertow.stream.history_ports import FoldChain, FoldedUpTo, Move, count_before, positions


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldBatch:
    """Parts that go into the table in one transaction."""

    parts: tuple[tuple[FoldChain, int], ...]
    """Chains, each with the position of a part; each chain's in order."""
    moves: Mapping[str, Move]
    """By the chain's id, up to where the table then has it, and had it before."""
    files: int
    """How many files these are."""


def plan(chains: Sequence[FoldChain], folded: Mapping[str, int], *, batch_bytes: int) -> Iterator[FoldBatch]:
    """Yield the closed prefix of each chain, all parts but its last, beginning where the table ends.

    `folded` has a position for each chain's id. A batch holds at least one part, else at most `batch_bytes`. Raises
    `Refused` if the table has less of a chain than the chain remembers: its parts may have been deleted since.
    """
    parts: list[tuple[FoldChain, int]] = []
    moves: dict[str, Move] = {}
    ends = dict(folded)
    size = files = 0
    for chain in chains:
        begin = folded[chain.id]
        require_table_of(chain, begin)
        for part, after in zip(chain.parts, chain.parts[1:], strict=False):
            if part.position < begin:
                continue
            if parts and size + part.size > batch_bytes:
                yield FoldBatch(parts=tuple(parts), moves=moves, files=files)
                parts, moves, size, files = [], {}, 0, 0
            parts.append((chain, part.position))
            begin_of = moves[chain.id].begin if chain.id in moves else ends[chain.id]
            moves[chain.id] = Move(begin=begin_of, upto=after.position)
            ends[chain.id] = after.position
            size += part.size
            files += part.files
    if parts:
        yield FoldBatch(parts=tuple(parts), moves=moves, files=files)


def require_table_of(chain: FoldChain, folded: int) -> None:
    """Raise `Refused` if a table lacks what this chain was folded into, or ends where no part begins."""
    if folded < chain.noted.position:
        message = (
            f"expected the table of history to have {chain.name} up to {chain.noted.position}, as its chain notes; it "
            f"has {f'it up to {folded}' if folded else 'nothing of it'}: restore the view's folder @table and the "
            "log's folder @delta from the same copy"
        )
        raise Refused(message)
    if folded and folded not in positions(chain.parts):
        message = (
            f"expected a part of {chain.name} at {folded}, up to which the table of history has it, found none: chain "
            "and table were restored from different copies"
        )
        raise Refused(message)


def note_of(chain: FoldChain, folded: int, *, now_s: float) -> FoldedUpTo | None:
    """Return the note that a chain lacks of what the table has of it; None if it has it."""
    if folded <= chain.noted.position:
        return None
    return FoldedUpTo(position=folded, parts=count_before(chain, folded), at_s=now_s)


def deletable(chain: FoldChain, *, now_s: float, grace_seconds: float) -> FoldedUpTo | None:
    """Return the newest note that is older than the grace time, if a part or a note before it is left to delete.

    A note's position is that of a part, so the last part of a chain is never before it.
    """
    old = [note for note in chain.notes if note.at_s <= now_s - grace_seconds]
    if not old or (chain.parts[0].position >= old[-1].position and chain.notes[0] == old[-1]):
        return None
    return old[-1]
