"""Everything of one delivery that is refused, and how it is counted.

In: a delivery, and the faults of the embedder. Out: a reject for each record, counts and places by reason. Knows no
sink.
"""

from collections import Counter
from collections.abc import Iterable

from undertow.schemas.records import Fault, Reject, one_for_each_record
from undertow.stream.ports import Delivery


def rejects_of(delivery: Delivery, faults: Iterable[Fault]) -> list[Reject]:
    """Return one reject for each refused record: not decoded, not embedded, or within a gap."""
    records, decoded = delivery.records, delivery.decoded
    not_embedded = (
        Reject(record=records[decoded.record_of[fault.row]], reason=fault.reason, detail=fault.detail)
        for fault in faults
    )
    return one_for_each_record([*decoded.rejects, *not_embedded, *(gap.reject for gap in delivery.gaps)])


def count_by_reason(rejects: Iterable[Reject]) -> dict[str, int]:
    """Return how many there are of each reason."""
    return dict(Counter(reject.reason for reject in rejects))


def last_by_reason(rejects: Iterable[Reject]) -> dict[str, str]:
    """Return the place of the last reject of each reason, as topic-partition@offset."""
    return {reject.reason: f"{reject.record.partition}@{reject.record.offset}" for reject in rejects}
