"""Detect that an online store has lost data, by a tally that is kept beside the vectors.

In: the tally read after a write. Out: a `Loss`, where it shows less than before. Knows no store.

The tally of a view has two parts. It counts the writes of each writer, after the vectors: a store that returned to an
earlier state, as in a failover that loses the last second, shows a smaller count than the writer has seen, an emptied
one shows none. And it has a claim, replaced by the first writer that detects a loss, which then restores the store; the
others learn of the loss by the new claim. The claim is marked as restored only when all is written, so the successor of
a writer that was killed meanwhile restores again, which is idempotent.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The tally as read from the store."""

    claim: str
    """Empty where no fleet has written to the store, or it was emptied."""
    restored: str
    """The claim that was last restored."""
    count: int
    """Number of this writer's writes; 0 where the store has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A store has lost data that was written to it."""

    reason: str
    claim: str
    """The claim to mark as restored when all is written again."""
    is_ours: bool
    """Whether this writer restores the store; else another does."""
    is_first: bool = False
    """Whether the writer had not read the store's tally before: the store may be new."""


OnLoss = Callable[[Loss], object]
"""Called in the thread that writes; must return soon."""

EMPTIED = "it holds nothing of this view any more: it was emptied, replaced, or its data is gone"
OLDER = "it has gone back to an earlier state: its last writes are gone"
UNKNOWN = "it was not written by a fleet before: it is new or was switched, or an earlier version wrote it"
UNFINISHED = "it was being filled again when who did so ended"
BY_ANOTHER = "another replica has seen that it lost data, and fills it again"


class TalliedStore(Protocol):
    """The store that has the tally of a view."""

    def read(self) -> Tally:
        """Return the present tally."""

    def claim(self, held: str, new: str) -> bool:
        """Compare-and-set: replace the claim `held` by `new`; False where another writer was faster."""


class TallyChecker:
    """Remembers the tallies that one writer of one view has read."""

    def __init__(self, on_loss: OnLoss) -> None:
        """Start without a tally."""
        self.name = uuid.uuid4().hex
        self._on_loss = on_loss
        self._seen: Tally | None = None
        self._former: set[str] = set()  # claims that were replaced: a store that shows one went back in time

    def judge(self, found: Tally, store: TalliedStore, *, has_written: bool) -> None:
        """Compare with the tally before, and report a loss; `has_written` where the count was incremented since."""
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
        elif found.claim != seen.claim:  # whatever our count is: the writer that set the new claim restores everything
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
