"""Avro schemas that windows are written with: ours, and any other whose records look like it.

In: the text of a schema. Out: `AvroSchema`, fit to read bytes from anywhere, or a `ValueError` that says why it is not.
Knows neither records nor registries.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fastavro.schema import SchemaParseException, expand_schema, parse_schema

from undertow.schemas.avro_times import end_ticks_per_s

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvroSchema:
    """A schema that a producer wrote with."""

    parsed: Any
    """What fastavro reads by. Without logical types: it would make objects of them, and raise for some numbers."""
    end_ticks_per_s: int
    """Unit of an `end` that is a number."""


def window_schema_text() -> str:
    """Return our own schema, which every artifact's windows can be written with."""
    return files("undertow.schemas").joinpath("window.v1.avsc").read_text()


@cache
def window_avro_schema() -> AvroSchema:
    """Return our own schema, ready to use."""
    return read_schema(window_schema_text())


def read_schema(text: str) -> AvroSchema:
    """Check a schema.

    Raises `ValueError` where it is none, where a few bytes could claim any amount of memory, and where it says of `end`
    what is not understood.
    """
    try:
        raw = json.loads(text)
        plain = _without_logical_types(raw)
        parsed: Any = parse_schema(plain)
        expanded: Any = expand_schema(plain)
    except (SchemaParseException, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"expected an Avro schema, found one that cannot be read: {type(error).__name__}: {error}"
        raise ValueError(message) from error
    if not isinstance(expanded, dict) or expanded["type"] != "record":
        message = "expected an Avro schema of a record (schemas/window.v1.avsc), found another type"
        raise ValueError(message)
    _least_bytes(expanded)
    return AvroSchema(parsed=parsed, end_ticks_per_s=end_ticks_per_s(raw))


def _least_bytes(schema: Any) -> int:
    """Return the fewest bytes that a value takes. Raises `ValueError` for recursion, and for lists of nothing.

    A block of an array names how many items follow: where an item takes no byte, nothing bounds that number. And
    fastavro recurses as deep as the bytes say, in C, where nobody counts.
    """
    if isinstance(schema, list):
        for branch in schema:
            _least_bytes(branch)
        return 1  # which branch
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
