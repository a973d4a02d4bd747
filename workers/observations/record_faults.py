"""What is wrong with observations, by record: the first few of each in words, the others by number.

In: faults of rows, and the record of each. Out: rejects, one a record, as long as a dead letter may be. Knows no rule.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from undertow.observations.taken import Refusal
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.records import MOST_DETAILS, Partition, Record, Reject
from undertow.schemas.wording import counted


class RecordFaults:
    """Collects what is wrong with the observations of records, in the order in which it is told."""

    def __init__(self, found: Mapping[int, Sequence[tuple[str, str]]]) -> None:
        """Begin with what readers found: by record, reasons and details."""
        self._told = {record: [*faults] for record, faults in found.items()}
        self._more: Counter[int] = Counter()

    def add(self, record: int, reason: str, detail: str, more: int = 0) -> None:
        """Tell of a fault of a record, which stands for others beside itself."""
        self._told.setdefault(record, []).append((reason, detail))
        self._more[record] += more

    def rejects(self, records: Sequence[Record], refused: Sequence[Refusal]) -> list[Reject]:
        """Return a reject for each record with faults, and for those of which something was `refused`.

        Of a record that was read in an earlier delivery its place alone is known.
        """
        earlier: list[Record] = []
        if refused:
            number_of = {(record.partition.index, record.offset): number for number, record in enumerate(records)}
            topic = records[0].partition.topic
            for one in refused:
                place = (one.partition, one.offset)
                if place not in number_of:
                    number_of[place] = len(records) + len(earlier)
                    partition = Partition(topic, one.partition)
                    earlier.append(
                        Record(partition=partition, offset=one.offset, appended_us=one.appended_us, value=None)
                    )
                self.add(number_of[place], one.reason, one.detail, one.more)
        everything = [*records, *earlier]
        return [_reject(everything[number], found, self._more[number]) for number, found in sorted(self._told.items())]


def told_of_each(owners: Rows) -> tuple[Rows, Rows]:
    """Return which places are told of: the first few of each run of one owner; and for how many others each stands."""
    opens = np.ones(len(owners), np.bool_)
    opens[1:] = owners[1:] != owners[:-1]
    starts = np.flatnonzero(opens)
    counts = np.diff(starts, append=len(owners))
    rank = np.arange(len(owners)) - np.repeat(starts, counts)
    told = np.flatnonzero(rank < MOST_DETAILS)
    others = np.repeat(counts, counts)[told] - MOST_DETAILS
    return told, np.where(rank[told] == 0, np.maximum(others, 0), 0)


def _reject(record: Record, found: Sequence[tuple[str, str]], more: int) -> Reject:
    detail = "; ".join(detail for _, detail in found[:MOST_DETAILS])
    if more := more + len(found[MOST_DETAILS:]):
        detail += f"; and {counted(more, 'more observation')}"
    return Reject(record=record, reason=found[0][0], detail=detail)
