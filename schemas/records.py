"""Records and rejects, and the reasons of rejects.

In: nothing. Out: `Partition`, `Record`, `Reject`, `Fault`, and every reason (`REASONS`). Knows no Kafka client.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from undertow.schemas.wording import counted

MOST_DETAILS = 3
"""How many bad windows of one record are explained; the rest are counted. A choice."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic."""

    topic: str
    index: int

    def __str__(self) -> str:
        """Return `topic-index`, as Kafka's own tools write it."""
        return f"{self.topic}-{self.index}"


Headers = tuple[tuple[str, bytes], ...]  # in order, names may repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A Kafka record as it was read; in a backfill, a row of a file (topic = path, offset = row)."""

    partition: Partition
    offset: int
    appended_us: int
    """The record's timestamp, microseconds since the epoch, UTC, with Kafka's millisecond resolution: by the broker's
    clock if the topic has `message.timestamp.type=LogAppendTime`, otherwise by the producer's."""
    value: bytes | None
    """None is a tombstone."""
    key: bytes | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A record, or a window of it, that is rejected, and why."""

    record: Record
    reason: str
    """A short code for counting and filtering, such as `not-json` or `length`: one of `REASONS`."""
    detail: str
    """A sentence: what was expected, what was found, where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A window of a batch that is rejected, and why."""

    row: int
    """The window's row in the batch or table, from 0."""
    reason: str
    """One of `REASONS`."""
    detail: str
    """A sentence: what was expected, what was found."""


def one_for_each_record(rejects: Iterable[Reject]) -> list[Reject]:
    """Join the rejects of windows of the same record into one, in order, under the reason of the first."""
    of_record: dict[tuple[Partition, int], list[Reject]] = {}
    for reject in rejects:
        of_record.setdefault((reject.record.partition, reject.record.offset), []).append(reject)
    return [
        replace(first, detail=join_details([one.detail for one in (first, *others)]))
        for first, *others in of_record.values()
    ]


def join_details(details: Sequence[str], more: int = 0) -> str:
    """Join the first details, and say how many others there are; `more` are known only by number."""
    more += max(0, len(details) - MOST_DETAILS)
    return "; ".join(details[:MOST_DETAILS]) + (f"; and {counted(more, 'more window')}" if more else "")


REASONS = {
    "empty": "the record has no value",
    "too-large": "the record, or the texts that its Arrow batch unpacks to, are larger than kafka.max_record_bytes",
    "not-json": "the value is not a JSON object",
    "not-avro": "the value is not Avro of the schema that it is said to have",
    "not-arrow": "the value is not an Arrow IPC stream of one plain record batch",
    "schema": "the registry has no such schema, or a window's end cannot be read with the schema that it has",
    "missing": "a field that the input contract asks for is absent",
    "series": "a series id is absent or of another type",
    "end": "the window's end is no time with a zone, or outside the years 1900 to 9998",
    "event-time": "the window's end is before kafka.event_time.min, or further ahead than kafka.event_time.max_ahead",
    "columns": "a column is absent or is not a list",
    "length": "columns differ in length, or are shorter or longer than the model takes",
    "number": "an element is not a finite number within float32",
    "category": "a category that the model was not trained with",
    "inputs": "the model's inputs cannot be built from this window",
    "memory": "the model asks for more memory for this window alone than there is",
    "tap": "the model takes another way with this window: its forward does not reach the tap, or not in its shape",
    "not-finite": "the embedding of this window is not finite",
    "time": "an observation has no time, or one outside the years 1900 to 9998, or in another unit",
    "local-time": "the local time of an observation is there twice (windows.fold says which is meant), or not at all",
    "off-grid": "the time of an observation is further from each grid point than windows.tolerance",
    "static": "a static column of an observation differs from what earlier ones of its series say",
    "late": "what had been seen of its series was more than windows.lateness after the observation's grid point",
    "header": "the name of a header is no UTF-8",
    "corrupt": "the record, or the batch of records that it begins, cannot be taken apart",
    "bomb": "the batch of records becomes larger than kafka.max_unpacked_bytes when it is unpacked",
    "kills-replica": "each replica that took this record died of it",
    "hangs": "the model did not return from this record within model.max_embed_seconds",
}
