"""Check whether an Arrow schema can hold windows: which types each field may have.

In: an Arrow schema and the input contract. Out: the first fault, if any. Knows no data.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.types as is_a

from undertow.schemas.contract import Column, InputContract
from undertow.schemas.lookalikes import looks_misspelt
from undertow.schemas.window_faults import WindowFault

Test = Callable[[Any], bool]


def schema_fault(schema: pa.Schema, contract: InputContract) -> WindowFault | None:
    """Return why rows of this schema cannot be windows, or None. Columns not in the contract may have any type."""
    for reason, path, expected, is_fit in _fields(contract):
        found = _find(schema, path)
        if found is None or not is_fit(found):
            if found is None and path[0] != "series" and _is_absent(schema, path):
                reason = "missing"  # noqa: PLW2901  # as the JSON codec says
            shown = f"nothing{_misspelt(schema, path, contract)}" if found is None else f"{found}{_why(path, found)}"
            return reason, f"{'.'.join(path)}: expected {expected}, found {shown}"
    return None


def _fields(contract: InputContract) -> Iterator[tuple[str, tuple[str, ...], str, Test]]:
    """Yield, for each field, the reason of a reject, its path, its expected type in words, and a test of its type."""
    for identity in contract.series:
        if identity.type == "string":
            yield "series", ("series", identity.name), "strings", is_text
        else:
            yield "series", ("series", identity.name), "integers of 64 bits", is_integer
    yield "schema", ("end",), "timestamps with a zone, or integer microseconds", is_time
    for part, columns in (("past", contract.past), ("future", contract.future)):
        for column in columns:
            yield "columns", (part, column.name), f"lists of {element_words(column)}", _is_list_of(element_test(column))
    for column in contract.static:
        reason = "number" if column.is_real else "category"
        yield reason, ("static", column.name), element_words(column), element_test(column)


def _find(schema: pa.Schema, path: tuple[str, ...]) -> Any:
    """Return the type of a field, or None if it is absent or ambiguous."""
    place = schema.get_field_index(path[0])
    kind: Any = None if place < 0 else schema.field(place).type
    for name in path[1:]:
        if kind is None or not is_a.is_struct(kind):
            return None
        place = kind.get_field_index(name)
        kind = None if place < 0 else kind.field(place).type
    return kind


def _misspelt(schema: pa.Schema, path: tuple[str, ...], contract: InputContract) -> str:
    """Name a field that may be meant for a missing one, if its name is similar."""
    known = [other for _, other, _, _ in _fields(contract)]
    if len(path) == 1 or schema.get_field_index(path[0]) < 0:
        return looks_misspelt(path[0], schema.names, {other[0] for other in known})
    part = schema.field(path[0]).type
    names = [part.field(place).name for place in range(part.num_fields)] if is_a.is_struct(part) else []
    return looks_misspelt(path[1], names, {other[1] for other in known if other[0] == path[0] and other[1:]})


def _why(path: tuple[str, ...], kind: Any) -> str:
    """Explain why a type that looks like a time, or like numbers, is not accepted."""
    if path == ("end",) and is_a.is_timestamp(kind):
        return ", a time without a zone (in pandas: tz_localize)"
    if len(path) > 1 and is_a.is_list(kind) and is_a.is_boolean(kind.value_type):
        return ", not taken for 0 and 1 (in pandas: astype(float))"
    return ", a day, which is no point in time" if path == ("end",) and is_a.is_date(kind) else ""


def _is_absent(schema: pa.Schema, path: tuple[str, ...]) -> bool:
    """Whether a whole part, or `end`, is absent, and not just one list of a part."""
    part = schema.get_field_index(path[0])
    return part < 0 or (path[0] == "static" and is_a.is_struct(schema.field(part).type))


def element_words(column: Column) -> str:
    """Return in words which elements a column takes."""
    return "numbers" if column.is_real else "strings or integers"


def element_test(column: Column) -> Test:
    """Return a test of the type of a column's elements."""
    if column.is_real:
        return _is_number
    # A column of nothing but nulls has Arrow's type null.
    return (lambda kind: is_a.is_null(kind) or _is_name(kind)) if column.accepts_unknown else _is_name


def _is_list_of(test: Test) -> Test:
    def is_fit(kind: Any) -> bool:
        is_list = is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind)
        return is_list and test(kind.value_type)

    return is_fit


def is_text(kind: Any) -> bool:
    """Whether it is a type of texts, dictionary-encoded or not."""
    kind = kind.value_type if is_a.is_dictionary(kind) else kind
    return bool(is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind))


def is_integer(kind: Any) -> bool:
    """Whether it is a type of integers that fit 64 bits with a sign."""
    return bool(is_a.is_integer(kind) and not is_a.is_uint64(kind))


def _is_number(kind: Any) -> bool:
    return bool(is_a.is_integer(kind) or is_a.is_float32(kind) or is_a.is_float64(kind))


def _is_name(kind: Any) -> bool:
    return is_text(kind) or is_integer(kind)


def is_time(kind: Any) -> bool:
    """Whether it is a type of points in time: a timestamp with a zone, or integer microseconds."""
    return bool(is_a.is_int64(kind) or (is_a.is_timestamp(kind) and kind.tz is not None))
