"""Forget series of one view: their rows leave its history, then their values the online store.

In: the history and the store of a view. Out: what was deleted, and what is left until when. Knows neither folders nor
settings. It may be killed at any step, and run again:

1. Parts of chains and backfills are replaced, each at once. Killed in between: the others still have their rows.
2. A transaction refuses every maintainer that has read such rows, so that none can bring them back.
3. Files of the table are replaced, some in a transaction. Killed before one: files that no version has, without such
   rows, which are vacuumed later.
4. All is looked at again: what a maintainer moved meanwhile is found, and 1 to 3 done once more.
5. The online store: last, since until then a store that loses its data would be filled with these rows again.

Replaced files of the table stay for those who read an older version, as `undertow maintain` keeps them, or are deleted
at once.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from undertow.adapters.offline_forget import ForgetHistory
from undertow.adapters.offline_found import FoundRows, Place
from undertow.core.errors import Unavailable
from undertow.stream.failpoints import hit_failpoint

ROUNDS = 5
"""How often all is looked at: what comes again after that is being sent. A choice."""
LIVE: tuple[Place, ...] = ("table", "tail", "folded", "backfills")
"""Where readers find rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was done to one view."""

    rows: Counter[Place] = field(default_factory=Counter)
    """How many rows were deleted, by place; of replaced files, how many files."""
    online: int = 0
    """How many series were deleted online."""
    left: Counter[Place] = field(default_factory=Counter)
    """How many rows are there now: in replaced files as long as readers may need them, elsewhere as they came anew."""
    faults: tuple[str, ...] = ()
    """Why files could not be looked at."""
    gone_by_s: float | None = None
    """When the replaced files may be deleted, in seconds since the epoch; None if none is left."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left but replaced files."""
        return not self.faults and not any(self.left[place] for place in LIVE)


def forget(
    history: ForgetHistory | None,
    found: FoundRows,
    forget_online: Callable[[], int] | None,
    *,
    readers_s: float,
    is_now: bool,
) -> Forgotten:
    """Forget what was found, and what has come since. Raises `Refused`, `Unavailable`: what was deleted stays so.

    `readers_s` is how long replaced files stay for readers, unless they are deleted now.
    """
    rows = Counter[Place]()
    if history is not None:
        found = _forget_history(history, found, rows, readers_s=readers_s, is_now=is_now)
    online = 0
    if forget_online is not None:
        online = forget_online()
        hit_failpoint("after_forget_online")
    left = found.rows()
    gone_by_s = None if history is None else history.gone_by(found.at("replaced"), readers_s)
    return Forgotten(rows=rows, online=online, left=left, faults=found.faults, gone_by_s=gone_by_s)


def _forget_history(
    history: ForgetHistory, found: FoundRows, rows: Counter[Place], *, readers_s: float, is_now: bool
) -> FoundRows:
    for left in reversed(range(ROUNDS)):
        try:
            for place in ("tail", "folded", "backfills"):
                rows[place] += history.rewrite_parts(found.at(place))
            history.refuse_earlier()
            rows["table"] += history.rewrite_table(found.at("table"))
        except Unavailable:
            if not left:
                raise
        found = history.find()
        if not any(found.at(*LIVE)):
            break
    if not found.faults:
        history.delete_unused(readers_s)
    if is_now:
        rows["replaced"] += history.delete_replaced(found.at("replaced"))
    return history.find() if found.at("replaced") else found
