"""Explain why a window was rejected: the slow, exact check behind the fast one, for every wire format.

In: one parsed JSON object (or its equivalent in another format) and an input contract. Out: its faults, each a reason
code and a detail on which a user can act. Knows not how the record was parsed.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.lookalikes import looks_misspelt, looks_wrapped
from undertow.schemas.times import guess_unit, parse_time
from undertow.schemas.wording import between, counted

Document = dict[str, Any]
WindowFault = tuple[str, str]
"""(reason, detail): the reason is a code of `undertow.schemas.records.REASONS`."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
LONGEST_ID = 1024
_SURELY_FITS = LONGEST_ID // 4  # UTF-8 takes at most four bytes for a character
_LONGEST_QUOTE = 40
_PARTS = ("series", "end", "past", "future", "static")
_ID_RULES = {
    "string": f"a string of 1 to {LONGEST_ID} bytes of UTF-8",
    "integer": "an integer of 64 bits",
}


def find_faults(document: Document, contract: InputContract) -> Iterator[WindowFault]:
    """Yield the faults. Use only the first: searching for more may raise because of it."""
    yield from _series_faults(document, contract.series)
    if "end" not in document:
        yield _fault("missing", "end", "the event time of the last step", _nothing("end", document, _PARTS))
    try:
        parse_time(document.get("end"))
    except (ValueError, OverflowError):
        rule = "ISO 8601 to the microsecond with a zone, or integer microseconds, within the years 1900 to 9998"
        yield _fault("end", "end", rule, _quote(document.get("end")) + guess_unit(document.get("end")))
    yield from _past_faults(document, contract)
    if contract.future:
        yield from _future_faults(document, contract)
    if contract.static:
        yield from _static_faults(document, contract)


def is_id(value: object, kind: str) -> bool:
    """Whether a value is a valid series id of this type."""
    if kind == "integer":
        return type(value) is int and -(2**63) <= value < 2**63
    if type(value) is not str or not value:
        return False
    if len(value) <= _SURELY_FITS and value.isascii():
        return True
    try:
        return len(value.encode()) <= LONGEST_ID
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _series_faults(document: Document, ids: Sequence[IdColumn]) -> Iterator[WindowFault]:
    series = document.get("series")
    if not isinstance(series, dict):
        names = ", ".join(column.name for column in ids)
        nothing = f"nothing{looks_wrapped(document)}"
        nothing = _nothing("series", document, _PARTS) if nothing == "nothing" else nothing
        found = _quote(series) if "series" in document else nothing
        yield _fault("series", "series", f"an object with {names}", found)
        return
    for column in ids:
        if not is_id(series.get(column.name), column.type):
            nothing = _nothing(column.name, series, [one.name for one in ids])
            found = _quote(series[column.name]) if column.name in series else nothing
            yield _fault("series", f"series.{column.name}", _ID_RULES[column.type], found)


def _past_faults(document: Document, contract: InputContract) -> Iterator[WindowFault]:
    yield from _list_faults(document, "past", contract.past)
    past = document["past"]
    lengths = {column.name: len(past[column.name]) for column in contract.past}
    length, who = _length_of_most(lengths, contract)
    for name, found in lengths.items():
        if found != length:
            yield _fault("length", f"past.{name}", f"{counted(length, 'step')}, as {who} has", str(found))
    if not contract.min_length <= length <= contract.max_length:
        yield _fault("length", "past", between(contract.min_length, contract.max_length, "step"), str(length))
    yield from _element_faults(past, "past", contract.past, _gaps(past, contract))


def _length_of_most(lengths: Mapping[str, int], contract: InputContract) -> tuple[int, str]:
    """Return the length that all columns should have, and the column or the model that says so.

    That is the model's if it takes one length only and some column has it, else the length of most columns; of two
    that are as common, the one met first.
    """
    if contract.min_length == contract.max_length and contract.max_length in lengths.values():
        return contract.max_length, "the model"
    (length, _), *_ = Counter(lengths.values()).most_common()
    return length, next(f"past.{name}" for name, found in lengths.items() if found == length)


def _future_faults(document: Document, contract: InputContract) -> Iterator[WindowFault]:
    yield from _list_faults(document, "future", contract.future)
    future = document["future"]
    for column in contract.future:
        if len(future[column.name]) != contract.horizon:
            found = str(len(future[column.name]))
            yield _fault("length", f"future.{column.name}", f"exactly {counted(contract.horizon, 'step')}", found)
    yield from _element_faults(future, "future", contract.future)


def _static_faults(document: Document, contract: InputContract) -> Iterator[WindowFault]:
    yield from _object_faults(document, "static")
    static = document["static"]
    for column in contract.static:
        where = f"static.{column.name}"
        if column.name not in static:
            found = _nothing(column.name, static, [one.name for one in contract.static])
            yield _fault("missing", where, _rule(column), found)
        elif not _fitness(column)(static[column.name]):
            yield _value_fault(static[column.name], where, column)


def _object_faults(document: Document, part: str) -> Iterator[WindowFault]:
    if part not in document:
        yield _fault("missing", part, "an object of columns", _nothing(part, document, _PARTS))
    elif not isinstance(document[part], dict):
        yield _fault("columns", part, "an object of columns", _quote(document[part]))


def _list_faults(document: Document, part: str, columns: Sequence[Column]) -> Iterator[WindowFault]:
    yield from _object_faults(document, part)
    for column in columns:
        values = document[part].get(column.name)
        if not isinstance(values, list):
            nothing = _nothing(column.name, document[part], [one.name for one in columns])
            found = _quote(values) if column.name in document[part] else nothing
            yield _fault("columns", f"{part}.{column.name}", "a list", found)


def _gaps(past: Mapping[str, list[object]], contract: InputContract) -> frozenset[int] | None:
    """Return the missing steps (null in every column, never the first or last); None if the contract allows none."""
    if not contract.allows_gaps:
        return None
    steps = range(1, len(past[contract.past[0].name]) - 1)
    return frozenset(step for step in steps if all(past[column.name][step] is None for column in contract.past))


def _element_faults(
    lists: Mapping[str, list[object]], part: str, columns: Sequence[Column], gaps: frozenset[int] | None = None
) -> Iterator[WindowFault]:
    for column in columns:
        is_fit = _fitness(column)
        for position, value in enumerate(lists[column.name]):
            if not is_fit(value) and position not in (gaps or ()):
                other = "" if gaps is None else ", or null in all columns of a step between the first and the last"
                yield _value_fault(value, f"{part}.{column.name}[{position}]", column, other)


def _fitness(column: Column) -> Callable[[object], bool]:
    """Return the test that each element of a column must pass."""
    if column.categories is None:
        return _is_float32
    if column.accepts_unknown:
        return lambda value: value is None or _is_name(value)
    known = frozenset(column.categories)
    return lambda value: _is_name(value) and str(value) in known


def _is_float32(value: object) -> bool:
    return type(value) in (float, int) and abs(value) <= FLOAT32_MAX  # type: ignore[arg-type]  # false for NaN


def _is_name(value: object) -> bool:
    return type(value) in (str, int)  # a bool is neither


def _value_fault(value: object, where: str, column: Column, other: str = "") -> WindowFault:
    return _fault("number" if column.is_real else "category", where, _rule(column) + other, _quote(value))


def _rule(column: Column) -> str:
    if column.categories is None:
        return "a finite number within float32"
    if column.accepts_unknown:
        return "a string, an integer of 64 bits or null"
    return f"one of the {len(column.categories)} categories the model was trained with"


def _fault(reason: str, where: str, expected: str, found: str) -> WindowFault:
    return reason, f"{where}: expected {expected}, found {found}"


def _nothing(name: str, there: Mapping[str, object], known: Sequence[str]) -> str:
    return f"nothing{looks_misspelt(name, there, known)}"


def _quote(value: object) -> str:
    """Show a value in a few characters; lists and objects only by size, since they may be deeply nested."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, bytes):  # from Avro
        return f"{len(value)} bytes"
    text = json.dumps(value[: _LONGEST_QUOTE + 1]) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."
