"""The JSON form of the window record: one record is one window.

In: records, or a batch of windows. Out: `Decoded` with rejects located exactly, or the bytes of records. Knows neither
Kafka nor models. Its JSON Schema is `window.v1.schema.json`.

The fast way takes a whole batch and checks it by columns; `schemas.json_faults` looks at single records only where
something is off, so both must agree on what is valid.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.contract import Column, InputContract
from schemas.decoded import Decoded
from schemas.json_faults import FLOAT32_MAX, Document, Fault, find_faults, is_id
from schemas.records import Record, Reject
from schemas.times import format_times, parse_time
from schemas.windows import Column as Values
from schemas.windows import WindowBatch

_SUSPECT = (KeyError, TypeError, ValueError, OverflowError)
_NUMBERS, _NAMES = frozenset({float, int}), frozenset({str, int})  # by exact type: a bool is neither


def decode_json(records: Sequence[Record], contract: InputContract, *, max_record_bytes: int) -> Decoded:
    """Decode records, one window each. Never raises for what they hold."""
    faults: dict[int, Fault] = {}
    documents: dict[int, Document] = {}
    columns = _Columns(contract)
    for position, record in enumerate(records):
        document = _parse(record.value, contract, max_record_bytes)
        if isinstance(document, tuple):
            faults[position] = document
            continue
        try:
            columns.add(document)
        except _SUSPECT:
            faults[position] = next(find_faults(document, contract))
        else:
            documents[position] = document
    try:
        windows = columns.build()
    except _SUSPECT:
        columns = _Columns(contract)
        for position, document in list(documents.items()):
            fault = next(find_faults(document, contract), None)
            if fault is None:
                columns.add(document)
            else:
                faults[position] = fault
                del documents[position]
        windows = columns.build()
    return Decoded(
        windows=windows,
        record_of=np.fromiter(documents, np.int64, len(documents)),
        rejects=tuple(
            Reject(record=records[position], reason=reason, detail=detail)
            for position, (reason, detail) in sorted(faults.items())
        ),
        ignored_columns=columns.ignored,
    )


def encode_json(windows: WindowBatch) -> list[bytes]:
    """Return one record's value for each window. `decode_json` gives back the same numbers, bit for bit."""
    starts = windows.starts.tolist()
    past = {name: column.tolist() for name, column in windows.past.items()}
    future = {name: column.tolist() for name, column in windows.future.items()}
    static = {name: column.tolist() for name, column in windows.static.items()}
    series = {name: column.tolist() for name, column in windows.series.items()}
    values = []
    for row, end in enumerate(format_times(windows.end_us)):
        document: Document = {"series": {name: column[row] for name, column in series.items()}, "end": end}
        document["past"] = {name: column[starts[row] : starts[row + 1]] for name, column in past.items()}
        if future:
            document["future"] = {name: column[row] for name, column in future.items()}
        if static:
            document["static"] = {name: column[row] for name, column in static.items()}
        values.append(orjson.dumps(document))
    return values


class _Columns:
    """Windows on their way into columns. What `add` and `build` raise is among `_SUSPECT`."""

    def __init__(self, contract: InputContract) -> None:
        self._contract = contract
        self._ids = [(column.name, column.type) for column in contract.series]
        self._past, self._future, self._static = (
            [column.name for column in part] for part in (contract.past, contract.future, contract.static)
        )
        self._series_values: list[list[Any]] = [[] for _ in contract.series]
        self._past_values: list[list[Any]] = [[] for _ in contract.past]
        self._future_values: list[list[Any]] = [[] for _ in contract.future]
        self._static_values: list[list[Any]] = [[] for _ in contract.static]
        self._ends: list[int] = []
        self._lengths: list[int] = []
        self.ignored = 0

    def add(self, document: Document) -> None:
        """Check the shape of one window and take it; elements are checked later. Takes all of it or nothing."""
        contract = self._contract
        series, past = document["series"], document["past"]
        ids = [series[name] for name, _ in self._ids]
        for value, (_, kind) in zip(ids, self._ids, strict=True):
            if not is_id(value, kind):
                raise ValueError(value)
        end_us = parse_time(document["end"])
        past_lists = [past[name] for name in self._past]
        length = len(past_lists[0])
        if not contract.min_length <= length <= contract.max_length:
            raise ValueError(length)
        _check_lists(past_lists, length)
        future_lists = [document["future"][name] for name in self._future]
        _check_lists(future_lists, contract.horizon)
        static = [document["static"][name] for name in self._static]
        self._ends.append(end_us)
        self._lengths.append(length)
        for held, value in zip(self._series_values + self._static_values, ids + static, strict=True):
            held.append(value)
        for held, values in zip(self._past_values + self._future_values, past_lists + future_lists, strict=True):
            held.extend(values)
        self.ignored += len(series) - len(ids) + len(past) - len(past_lists)
        for part, known in (("future", len(future_lists)), ("static", len(static))):
            if type(others := document.get(part)) is dict:
                self.ignored += len(others) - known

    def build(self) -> WindowBatch:
        """Check the elements of all windows at once and return them."""
        contract, n = self._contract, len(self._ends)
        return WindowBatch(
            series={
                column.name: np.array(values, dtype=np.int64 if column.type == "integer" else object)
                for column, values in zip(contract.series, self._series_values, strict=True)
            },
            end_us=np.array(self._ends, np.int64),
            lengths=np.array(self._lengths, np.int64),
            past=_checked(contract.past, self._past_values),
            future={
                name: values.reshape(n, contract.horizon)
                for name, values in _checked(contract.future, self._future_values).items()
            },
            static=_checked(contract.static, self._static_values),
        )


def _check_lists(lists: list[Any], length: int) -> None:
    for values in lists:
        if type(values) is not list or len(values) != length:
            raise ValueError(length)


def _checked(columns: Sequence[Column], lists: Sequence[list[Any]]) -> dict[str, Values]:
    return {column.name: _elements(values, column) for column, values in zip(columns, lists, strict=True)}


def _elements(values: list[Any], column: Column) -> Values:
    """Return one checked column."""
    types = set(map(type, values))
    if column.categories is None:
        if not types <= _NUMBERS:
            raise ValueError(column.name)
        numbers: NDArray[np.float64] = np.fromiter(values, np.float64, len(values))
        if not np.abs(numbers).max(initial=0.0) <= FLOAT32_MAX:  # false for NaN too
            raise ValueError(column.name)
        return numbers
    if not types <= _NAMES:
        raise ValueError(column.name)
    if int in types:
        values = [str(value) for value in values]
    if not column.accepts_unknown and not frozenset(column.categories).issuperset(values):
        raise ValueError(column.name)
    return np.array(values, dtype=object)


def _parse(value: bytes | None, contract: InputContract, max_record_bytes: int) -> Document | Fault:
    """Return the object that a record holds, or what is wrong with it."""
    if not value:
        return "empty", "expected a JSON object, found no value"
    if len(value) > max_record_bytes:
        return "too-large", f"expected at most {max_record_bytes} bytes (kafka.max_record_bytes), found {len(value)}"
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _sharpen(value, contract) or ("not-json", f"expected a JSON object, found text that is none: {error}")
    if not isinstance(document, dict):
        return "not-json", f"expected a JSON object, found a {type(document).__name__}"
    return document


def _sharpen(value: bytes, contract: InputContract) -> Fault | None:
    """Find the guilty field where the text is JSON but for NaN, Infinity or a lone surrogate, as Python writes them."""
    try:
        document = json.loads(value.decode())
    except (ValueError, RecursionError):
        return None
    return next(find_faults(document, contract), None) if isinstance(document, dict) else None
