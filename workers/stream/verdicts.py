"""The classification of errors: what each kind of error leads to, for replicas, their controller and people.

In: an error, as an adapter, the embedder or the stream raised it. Out: its row. Knows no vendor: adapters translate
their vendors' errors into `Refused`, `Unavailable` or `Replaced`.

The first question is whether a retry can help. The fault of one record concerns that record alone; a transient fault is
retried; a permanent one never is, since somebody must correct a setting or a file.
"""

from dataclasses import dataclass
from typing import Literal

from undertow.core.errors import Refused, Replaced, Unavailable

Action = Literal["reject", "retry", "end this replica", "end the fleet"]
EndCause = Literal["none", "refused", "unavailable", "crashed"]
"""How a replica ended: as ordered; by a permanent error; by a transient one; by any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One row of the table."""

    what: str
    whose: str
    done: Action
    read: str
    """Where a person reads of it, and what."""
    fault: EndCause = "none"
    """How a replica ends by it."""
    kinds: tuple[type[BaseException], ...] = ()
    """The error classes of this row; a record's fault is no error but a reject."""


RECORD = Verdict(
    what="a record that is no window, does not fit the artifact, or that the model does not take; one window that asks "
    "for more memory than there is, twice, alone, while windows known to be good find some",
    whose="its producer's",
    done="reject",
    read="a dead letter with the reason; a count by reason in the status; event `rejects`",
)
WAITING = Verdict(
    what="a store, the broker, a disk or the registry that does not answer, is full, or refuses for now; memory that "
    "is short for any window",
    whose="whoever runs it",
    done="retry",
    read="what does not answer, and its setting: the status, events `retrying` and `recovered`",
    fault="unavailable",
    kinds=(Unavailable,),
)
LASTING = Verdict(
    what="a setting, a login, a certificate, an artifact or a store that is not as it must be",
    whose="ours, by a setting",
    done="end the fleet",
    read="what was expected, what was found, the setting: the command's last line, exit code 1",
    fault="refused",
    kinds=(Refused,),
)
OVERTAKEN = Verdict(
    what="another owner has appended at our place in a chain",
    whose="nobody's: a replica that was taken for dead is not",
    done="end this replica",
    read="event `replaced`; nothing is lost, and its successor goes on",
    fault="crashed",
    kinds=(Replaced,),
)
UNKNOWN = Verdict(
    what="anything else: a fault of ours, of a package, or a process that dies",
    whose="not known",
    done="end this replica",
    read="event `crashed` with its trace; after deaths at one position, the record is looked for",
    fault="crashed",
    kinds=(BaseException,),
)
TABLE = (RECORD, WAITING, LASTING, OVERTAKEN, UNKNOWN)


def verdict_of(error: BaseException) -> Verdict:
    """Return the row of an error: the first that lists one of its classes."""
    return next(row for row in TABLE if isinstance(error, row.kinds))


def as_markdown() -> str:
    """Return the table as deploy/OPERATIONS.md shows it."""
    rows = [("what happens", "whose fault", "what is done", "what you read"), ("---",) * 4]
    rows += [(row.what, row.whose, row.done, row.read) for row in TABLE]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
