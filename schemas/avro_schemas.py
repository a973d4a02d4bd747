"""Avro schemas of windows and of observations: ours, and any compatible one of a producer.

In: the text of a schema. Out: `AvroSchema`, safe for reading untrusted bytes, or a `ValueError` that says why it is
not. Knows neither records nor registries.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fastavro.schema import SchemaParseException, expand_schema, parse_schema

from undertow.schemas.avro_times import ticks_per_s

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroSchema:
    """A schema with which a producer writes."""

    parsed: Any
    """The schema as fastavro reads it, without logical types: it would turn them into objects, and raise for some
    numbers."""
    ticks_per_s: int
    """The unit of numeric times, in ticks per second."""


def window_schema_text() -> str:
    """Return the text of our own schema, by which windows of every artifact can be written."""
    return files("undertow.schemas").joinpath("window.v1.avsc").read_text()


@cache
def window_avro_schema() -> AvroSchema:
    """Return our own schema, parsed."""
    return read_schema(window_schema_text())


def read_schema(text: str) -> AvroSchema:
    """Parse and check a schema of windows.

    Raises `ValueError` if it is not a record's schema, if a few bytes could claim any amount of memory by it, or if the
    type of `end` is not understood.
    """
    raw, parsed, expanded = _parse(text)
    if not isinstance(expanded, dict) or expanded["type"] != "record":
        message = "expected an Avro schema of a record (schemas/window.v1.avsc), found another type"
        raise ValueError(message)
    _least_bytes(expanded)
    return AvroSchema(parsed=parsed, ticks_per_s=ticks_per_s(raw, "end"))


def read_row_schema(text: str, time: str) -> AvroSchema:
    """Parse and check a schema of observations, of which `time` is the field with the time.

    Raises `ValueError` as `read_schema` does; an array of records is as good as a record.
    """
    raw, parsed, expanded = _parse(text)
    is_list = isinstance(expanded, dict) and expanded["type"] == "array"
    row = expanded["items"] if is_list else expanded
    if not isinstance(row, dict) or row["type"] != "record":
        message = "expected an Avro schema of a record, or of an array of records, found another type"
        raise ValueError(message)
    _least_bytes(expanded)
    return AvroSchema(parsed=parsed, ticks_per_s=ticks_per_s(raw["items"] if is_list else raw, time))


def _parse(text: str) -> tuple[Any, Any, Any]:
    """Return a schema as it is written, as fastavro reads it, and with all names spelt out. Raises `ValueError`."""
    try:
        raw = json.loads(text)
        plain = _without_logical_types(raw)
        parsed: Any = parse_schema(plain)
        expanded: Any = expand_schema(plain)
    except (SchemaParseException, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"expected an Avro schema, found one that cannot be read: {type(error).__name__}: {error}"
        raise ValueError(message) from error
    return raw, parsed, expanded


def _least_bytes(schema: Any) -> int:
    """Return the fewest bytes that a value takes. Raises `ValueError` for recursion, and for items of 0 bytes.

    A block of an array declares its number of items, which nothing bounds if an item takes no byte. And fastavro
    recurses in C as deep as the bytes say, without a limit.
    """
    if isinstance(schema, list):
        for branch in schema:
            _least_bytes(branch)
        return 1  # the index of the branch
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, dict | list):
        return _least_bytes(kind)
    if kind in {"record", "error"}:
        return sum(_least_bytes(field["type"]) for field in schema["fields"])
    if kind in {"array", "map"}:
        if not _least_bytes(schema["items" if kind == "array" else "values"]) and kind == "array":
            message = "expected an Avro schema whose array items take at least one byte each, found items of none"
            raise ValueError(message)
    elif kind not in _PRIMITIVES | {"enum", "fixed"}:
        message = f"expected an Avro schema that does not contain itself, found {kind} within {kind}"
        raise ValueError(message)
    return int(schema["size"]) if kind == "fixed" else {"null": 0, "float": 4, "double": 8}.get(kind, 1)


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    return schema
