"""Whether an online store still holds what was written to it: a tally that is kept beside the vectors.

In: the tally that a store shows after a write. Out: a `Loss`, where it shows less than it did. Knows no store.

The tally of a view has two parts. Of each writer it counts the writes, behind the vectors of each: a store that went
back to an earlier state, as a failover does to its last second, shows a smaller count than the writer has seen, and one
that was emptied none. And it holds a claim, made anew by the first who sees a loss, who then restores the store; the
others learn of it by the new claim. The claim is noted as restored only when all is there, so whoever comes after one
that was killed meanwhile restores again, which is harmless: every write is guarded.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a store shows."""

    claim: str
    """Empty where it was never written by a fleet, or was emptied."""
    restored: str
    """The claim that was last restored."""
    count: int
    """How many writes of this writer it has seen; 0 where it knows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A store does not hold what was written to it."""

    reason: str
    claim: str
    """What is noted as restored when all is there again."""
    is_ours: bool
    """Whether whoever is told of it restores the store; else another does."""
    is_first: bool = False
    """Whether the writer had seen nothing of the store before: it may be a new one."""


OnLoss = Callable[[Loss], object]
"""Called by the thread that writes; must return soon."""

EMPTIED = "it holds nothing of this view any more: it was emptied, replaced, or its data is gone"
OLDER = "it has gone back to an earlier state: its last writes are gone"
UNKNOWN = "it was not written by a fleet before: it is new or was switched, or an earlier version wrote it"
UNFINISHED = "it was being filled again when who did so ended"
BY_ANOTHER = "another replica has seen that it lost data, and fills it again"


class TalliedStore(Protocol):
    """Where the tally of a view is."""

    def read(self) -> Tally:
        """Return what the store shows now."""

    def claim(self, held: str, new: str) -> bool:
        """Put a new claim in the place of the held one; False where another was quicker."""


class Witness:
    """Of one writer of one view: remembers what its store has shown."""

    def __init__(self, on_loss: OnLoss) -> None:
        """Nothing was seen yet."""
        self.name = uuid.uuid4().hex
        self._on_loss = on_loss
        self._seen: Tally | None = None
        self._former: set[str] = set()  # claims that others have followed: a store that shows one went back

    def judge(self, found: Tally, store: TalliedStore, *, has_written: bool) -> None:
        """Compare with what was seen before; `has_written` where the count was raised since. Tells of a loss."""
        seen, self._seen = self._seen, found
        if seen and seen.claim != found.claim:
            self._former.add(seen.claim)
        if not found.claim:
            self._claim(found, store, EMPTIED if seen else UNKNOWN, is_first=seen is None)
        elif seen is None:
            if found.restored != found.claim:
                self._on_loss(Loss(reason=UNFINISHED, claim=found.claim, is_ours=True, is_first=True))
        elif found.claim in self._former or (found.claim == seen.claim and found.count < seen.count + has_written):
            self._claim(found, store, OLDER)
        elif found.claim != seen.claim:  # whatever has become of our count: who put it there restores all
            self._on_loss(Loss(reason=BY_ANOTHER, claim=found.claim, is_ours=False))

    def _claim(self, found: Tally, store: TalliedStore, reason: str, *, is_first: bool = False) -> None:
        self._former.add(found.claim)
        new = uuid.uuid4().hex
        if is_ours := store.claim(found.claim, new):
            self._seen = Tally(claim=new, restored=found.restored, count=found.count)
        else:
            self._seen = store.read()
        claim = self._seen.claim
        reason = reason if is_ours else BY_ANOTHER
        self._on_loss(Loss(reason=reason, claim=claim, is_ours=is_ours, is_first=is_first))
