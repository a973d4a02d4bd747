"""Convert parsed windows to columns: the fast check, of whole columns at once.

In: parsed JSON objects and an input contract. Out: a `WindowBatch`, or an exception that says only that something is
wrong. Knows neither how the text was parsed nor how to explain a fault.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.contract import Column, InputContract
from undertow.schemas.times import parse_time
from undertow.schemas.window_faults import FLOAT32_MAX, Document, is_id
from undertow.schemas.windows import Values, WindowBatch

SUSPECT = (KeyError, TypeError, ValueError, OverflowError)
_NUMBERS, _NAMES = frozenset({float, int}), frozenset({str, int})  # by exact type: a bool is neither
_NAMES_OR_NULL = _NAMES | {type(None)}


class ColumnBuilder:
    """Collects windows into columns. `add` and `build` raise one of `SUSPECT` if something is wrong."""

    def __init__(self, contract: InputContract) -> None:
        self._contract = contract
        self._series: list[tuple[str, str, list[Any]]] = [(id_.name, id_.type, []) for id_ in contract.series]
        self._past: list[tuple[str, list[Any]]] = [(column.name, []) for column in contract.past]
        self._future: list[tuple[str, list[Any]]] = [(column.name, []) for column in contract.future]
        self._static: list[tuple[str, list[Any]]] = [(column.name, []) for column in contract.static]
        self._ends: list[int] = []
        self._lengths: list[int] = []  # of each accepted window
        self.ignored = 0

    def add(self, document: Document) -> None:
        """Check the structure of one window and add it, completely or not at all; elements are checked by `build`."""
        try:
            self._take(document)
        except SUSPECT:
            self._forget_half()
            raise

    def _take(self, document: Document) -> None:
        contract = self._contract
        series, past = document["series"], document["past"]
        for name, kind, held in self._series:
            value = series[name]
            if not is_id(value, kind):
                raise ValueError(name)
            held.append(value)
        self._ends.append(parse_time(document["end"]))
        length = len(past[self._past[0][0]])
        if not contract.min_length <= length <= contract.max_length:
            raise ValueError(length)
        _extend(self._past, past, length)
        if self._future:
            _extend(self._future, document["future"], contract.horizon)
        for name, held in self._static:
            held.append(document["static"][name])
        self._lengths.append(length)
        self.ignored += len(series) - len(self._series) + len(past) - len(self._past)
        for part, known in (("future", len(self._future)), ("static", len(self._static))):
            if type(others := document.get(part)) is dict:
                self.ignored += len(others) - known

    def _forget_half(self) -> None:
        """Remove what a refused window has already added."""
        n = len(self._lengths)
        for _, _, held in self._series:
            del held[n:]
        del self._ends[n:]
        for columns, size in ((self._past, sum(self._lengths)), (self._future, n * self._contract.horizon)):
            for _, held in columns:
                del held[size:]
        for _, held in self._static:
            del held[n:]

    def build(self) -> WindowBatch:
        """Check the elements of all windows at once and return them."""
        contract, n = self._contract, len(self._lengths)
        return WindowBatch(
            series={
                name: np.array(values, dtype=np.int64 if kind == "integer" else object)
                for name, kind, values in self._series
            },
            end_us=np.array(self._ends, np.int64),
            lengths=np.array(self._lengths, np.int64),
            past=self._checked_past(),
            future={
                name: values.reshape(n, contract.horizon)
                for name, values in _checked(contract.future, self._future).items()
            },
            static=_checked(contract.static, self._static),
        )

    def _checked_past(self) -> dict[str, Values]:
        gaps = _gaps([values for _, values in self._past], self._lengths) if self._contract.allows_gaps else ()
        if not gaps:
            return _checked(self._contract.past, self._past)
        there = np.delete(np.arange(sum(self._lengths)), gaps).tolist()
        past: dict[str, Values] = {}
        for column, (_, values) in zip(self._contract.past, self._past, strict=True):
            elements = _elements([values[step] for step in there], column)
            past[column.name] = np.full(len(values), np.nan if column.is_real else None, elements.dtype)
            past[column.name][there] = elements
        return past


def _gaps(columns: Sequence[Sequence[Any]], lengths: Sequence[int]) -> Sequence[int]:
    """Return which steps are null in every column, except for the first and last step of each window."""
    first, *others = columns
    if None not in first:
        return ()
    ends = list(accumulate(lengths))
    edges = {0, *ends, *(end - 1 for end in ends)}
    empty = (step for step, value in enumerate(first) if value is None and step not in edges)
    return [step for step in empty if all(values[step] is None for values in others)]


def _extend(columns: Sequence[tuple[str, list[Any]]], lists: Document, length: int) -> None:
    for name, held in columns:
        values = lists[name]
        if type(values) is not list or len(values) != length:
            raise ValueError(name)
        held.extend(values)


def _checked(columns: Sequence[Column], held: Sequence[tuple[str, list[Any]]]) -> dict[str, Values]:
    return {column.name: _elements(values, column) for column, (_, values) in zip(columns, held, strict=True)}


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
    if not types <= (_NAMES_OR_NULL if column.accepts_unknown else _NAMES):
        raise ValueError(column.name)
    if int in types:
        values = [str(value) if type(value) is int else value for value in values]
    if not column.accepts_unknown and not frozenset(column.categories).issuperset(values):
        raise ValueError(column.name)
    return np.array(values, dtype=object)
