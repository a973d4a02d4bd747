"""The unit of a numeric time in an Avro schema, from the annotations of producers and connectors.

In: the JSON of a record's schema. Out: ticks per second, or a `ValueError` that names what is not understood. Knows no
records.

An unknown annotation is refused, not ignored: read as microseconds, a number of days or of milliseconds would be in
January of 1970.
"""

from collections.abc import Iterator, Mapping
from typing import Any

US_PER_S = 1_000_000
_TICKS_PER_S = {
    "timestamp-millis": 1_000,
    "timestamp-micros": US_PER_S,
    "timestamp-nanos": 1_000_000_000,
    "org.apache.kafka.connect.data.Timestamp": 1_000,
    # Database columns without a zone, which Debezium counts from the epoch as if they were UTC.
    "io.debezium.time.Timestamp": 1_000,
    "io.debezium.time.MicroTimestamp": US_PER_S,
    "io.debezium.time.NanoTimestamp": 1_000_000_000,
}
_TEXTS = frozenset({"io.debezium.time.ZonedTimestamp", "io.debezium.time.IsoTimestamp"})
"""Annotations of strings, which must be ISO 8601 with a zone as in every format."""
_NO_UTC = "adjust-to-utc = false"
"""Iceberg's annotation of a time without a zone."""


def ticks_per_s(schema: Mapping[str, Any], time: str) -> int:
    """Return the unit of a numeric field `time`; without an annotation, microseconds, as in every format."""
    units: set[int] = set()
    for field in schema["fields"]:
        if field["name"] != time:
            continue
        for kind, annotations in _branches(field):
            if strange := [name for name in annotations if name not in _TICKS_PER_S and not _is_text(kind, name)]:
                raise ValueError(_not_understood(time, strange[0]))
            if kind in {"int", "long"}:
                units |= {_TICKS_PER_S[name] for name in annotations} or {US_PER_S}
    if len(units) > 1:
        found = " and ".join(f"{unit:,}" for unit in sorted(units))
        message = f"{time}: expected numbers of one unit, found {found} ticks a second"
        raise ValueError(message)
    return units.pop() if units else US_PER_S


def _branches(schema: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each type that a value may have, with the annotations of the field and of the type."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _branches(branch, above)
    elif isinstance(schema, dict):
        said = above + tuple(str(schema[key]) for key in ("logicalType", "connect.name") if key in schema)
        if schema.get("adjust-to-utc", True) is not True:
            said += (_NO_UTC,)
        yield from _branches(schema["type"], said)
    else:
        yield str(schema), above


def _is_text(kind: str, annotation: str) -> bool:
    return kind in {"string", "null"} and annotation in _TEXTS


def _not_understood(time: str, annotation: str) -> str:
    why = ""
    if annotation.rsplit(".", 1)[-1].lower().endswith("date"):
        why = ", a day, which is no point in time"
    elif annotation.startswith("local-timestamp") or annotation == _NO_UTC:
        why = ", a time without a zone"
    known = "timestamp-millis, -micros or -nanos, or a Timestamp of Kafka Connect or Debezium"
    return f"{time}: expected {known}, or a plain long in microseconds, found {annotation}{why}"
