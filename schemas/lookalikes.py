"""Guess the format of bytes that a codec cannot read, so that the reject can say what to change.

In: the value of a rejected record, or an object that is not a window. Out: a hint for its detail. Knows no codec, and
rejects nothing itself.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

_HEADER_BYTES = 5  # Confluent's: a zero, and the schema's id
_MAGIC = (
    (b"\xff\xff\xff\xff", "arrow", "an Arrow IPC stream: kafka.format = arrow reads it"),
    (b"\xef\xbb\xbf", "", "text behind a byte order mark: write UTF-8 without one"),
    (b"ARROW1", "", "an Arrow file: write a stream instead (pyarrow.ipc.new_stream)"),
    (b"PAR1", "", "a Parquet file: undertow produce sends what one holds"),
    (b"Obj\x01", "", "an Avro file with its own header: write records without one (kafka.format = avro)"),
    (b"\x1f\x8b", "", "gzip: let Kafka compress instead (the producer's compression.type)"),
    (b"\x28\xb5\x2f\xfd", "", "zstd: let Kafka compress instead (the producer's compression.type)"),
    (b"\x04\x22\x4d\x18", "", "lz4: let Kafka compress instead (the producer's compression.type)"),
)
_ENVELOPES = (
    ({"schema", "payload"}, "Kafka Connect's envelope", "payload", "set value.converter.schemas.enable=false there"),
    ({"op", "after"}, "a change event of Debezium", "after", "let its ExtractNewRecordState unwrap it"),
    ({"specversion", "data"}, "a structured CloudEvent", "data", "send it in binary mode"),
)

_MOST_NAMES, _LONGEST_NAME = 200, 100
_TIMES = ("time", "date", "stamp")


def looks_like(value: bytes, reader: str) -> str:
    """Return a hint on the format of a value that the codec `reader` (a `kafka.format`) rejected; empty if unknown."""
    if value[:1] == b"\0" and len(value) > _HEADER_BYTES and reader != "avro-confluent":
        schema_id, held = int.from_bytes(value[1:_HEADER_BYTES], "big"), value[_HEADER_BYTES:]
        if _is_object(held):
            advice = "the producer's serializer for JSON Schema writes it, and kafka.format = json takes JSON alone"
            return f"; it looks like JSON behind Confluent's header (a zero byte, schema {schema_id}): {advice}"
        return f"; it looks like Confluent's format (a zero byte, schema {schema_id}): kafka.format = avro-confluent"
    if _is_object(value) and reader != "json":
        return "; it looks like JSON: kafka.format = json reads it"
    for magic, format_, meaning in _MAGIC:
        if value.startswith(magic) and reader != format_:
            return f"; it looks like {meaning}"
    return ""


def looks_wrapped(document: Mapping[str, Any]) -> str:
    """Return a hint on the envelope around a window, for an object without `series`; empty if unknown."""
    for keys, name, inside, advice in _ENVELOPES:
        if keys <= document.keys():
            return f"; this looks like {name}, with the window in `{inside}`: {advice}"
    inside = next((key for key, held in document.items() if isinstance(held, dict) and "series" in held), "")
    return f"; there is one in `{inside[:40]}`: send that alone" if inside else ""


def looks_misspelt(name: str, there: Iterable[str], known: Iterable[str] = ()) -> str:
    """Return a hint which name in `there` may be meant for the missing one; names in `known` are not considered.

    Case is ignored. Of very many or very long names only some are compared.
    """
    known = {name, *known}
    others = {one.lower(): one for one in islice(there, _MOST_NAMES) if one not in known and len(one) <= _LONGEST_NAME}
    close = difflib.get_close_matches(name.lower(), others, n=1)
    if not close and name == "end":  # what other tools call it
        close = [one for one in others if any(word in one for word in _TIMES)][:1]
    return f"; there is {json.dumps(others[close[0]])}: is {name} meant?" if close else ""


def _is_object(value: bytes) -> bool:
    return value[:64].lstrip()[:1] == b"{"
