"""Observations in JSON: a record is an object with the names of columns as keys, or a list of such objects.

In: records. Out: `RecordRows`. Knows no Kafka.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from undertow.observations.read import TableForm
from undertow.observations.record_documents import document_reader
from undertow.observations.record_rows import ReadRows, RowFault
from undertow.schemas.lookalikes import looks_like


def json_reader(form: TableForm, *, some_of: Sequence[str], max_record_bytes: int) -> ReadRows:
    """Return the function that reads records in JSON, each row with at least one column of `some_of`."""
    return document_reader(form, _objects, some_of=some_of, max_record_bytes=max_record_bytes)


def _objects(value: bytes) -> list[Any] | RowFault:
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return "not-json", f"expected JSON, found text that is none{looks_like(value, 'json') or f': {error}'}"
    rows = found if isinstance(found, list) else [found]
    return rows or ("empty", "expected at least one observation, found an empty list")
