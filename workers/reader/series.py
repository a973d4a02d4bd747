"""The series that a user asks for, whatever they come in, as id columns.

In: values, dicts, columns, or a table of pandas, polars or Arrow. Out: arrays of ids, or `WrongUsage` with the row that
is wrong. Imports none of these libraries.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from undertow.core.errors import WrongUsage
from undertow.core.readable import readable
from undertow.schemas.contract import IdColumn
from undertow.schemas.windows import Values

_INT64 = np.iinfo(np.int64)


def id_columns(given: Any, series: Sequence[IdColumn]) -> dict[str, Values]:
    """Return the id columns, int64 or object of str, all of one length. Raises `WrongUsage`."""
    columns = _columns(given, [column.name for column in series])
    if len({len(ids) for ids in columns.values()}) > 1:
        found = ", ".join(f"{name}: {len(ids)}" for name, ids in columns.items())
        message = f"expected as many values of each id, found {found}"
        raise WrongUsage(message)
    return {column.name: _typed(column, columns[column.name]) for column in series}


def _columns(given: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    if isinstance(given, Mapping):
        _require(given.keys(), names, "a mapping of columns")
        return {name: _listed(given[name]) for name in names}
    if hasattr(given, "column_names"):  # pyarrow
        _require(given.column_names, names, "a table", others=True)
        return {name: given.column(name).to_pylist() for name in names}
    if hasattr(given, "columns"):  # pandas, polars
        _require(given.columns, names, "a table", others=True)
        return {name: _listed(given[name]) for name in names}
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        message = f"expected many series: a list, or a table with the columns {', '.join(names)}; found {_shown(given)}"
        raise WrongUsage(message)
    rows = _listed(given)
    if rows and isinstance(rows[0], Mapping):
        for place, row in enumerate(rows):
            if not isinstance(row, Mapping) or row.keys() != set(names):
                message = f"row {place}: expected a dict with the ids {', '.join(names)}, found {_shown(row)}"
                raise WrongUsage(message)
        return {name: [row[name] for row in rows] for name in names}
    if len(names) > 1 and rows:
        message = (
            f"these series have the ids {', '.join(names)}: expected a list of dicts, or a table with these columns; "
            f"found a list of {type(rows[0]).__name__}"
        )
        raise WrongUsage(message)
    return dict.fromkeys(names, rows)


def _require(found: Iterable[Any], names: Sequence[str], what: str, *, others: bool = False) -> None:
    """Raise where a column is missing, or, unless there may be others, is unknown."""
    there = [str(name) for name in found]
    if missing := [name for name in names if name not in there]:
        message = f"expected {what} with the ids {', '.join(names)}, found no {', '.join(missing)} among: {_few(there)}"
        raise WrongUsage(message)
    if not others and (strange := [name for name in there if name not in names]):
        message = f"expected {what} with the ids {', '.join(names)}, found also {_few(strange)}"
        raise WrongUsage(message)


def _listed(values: Any) -> list[Any]:
    """Return a list of Python's own values, from an array or a column too."""
    for name in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, name):
            listed = getattr(values, name)()
            return listed if isinstance(listed, list) else [listed]
    return list(values)


def _typed(column: IdColumn, ids: list[Any]) -> Values:
    kinds = set(map(type, ids))
    if column.type == "integer":
        if all(issubclass(kind, int | np.integer) and not issubclass(kind, bool) for kind in kinds):
            try:
                return np.array(ids, np.int64)
            except OverflowError:
                place = next(place for place, value in enumerate(ids) if not _INT64.min <= value <= _INT64.max)
                _refuse(column, "integers of 64 bits", place, ids[place])
        _refuse(column, "integers", *_first(ids, _is_integer))
    if not all(issubclass(kind, str) for kind in kinds):
        _refuse(column, "texts", *_first(ids, lambda value: isinstance(value, str)))
    try:
        "".join(ids).encode()
    except UnicodeEncodeError:
        _refuse(column, "texts of UTF-8", *_first(ids, _is_utf8))
    texts = np.empty(len(ids), object)
    texts[:] = ids
    return texts


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_utf8(value: str) -> bool:
    return value.encode(errors="replace") == value.encode(errors="surrogatepass")


def _first(ids: list[Any], is_fit: Any) -> tuple[int, Any]:
    place = next(place for place, value in enumerate(ids) if not is_fit(value))
    return place, ids[place]


def _refuse(column: IdColumn, wanted: str, place: int, value: Any) -> None:
    message = f"{column.name}: expected {wanted}, found {_shown(value)} in row {place}"
    raise WrongUsage(message)


def _shown(value: Any) -> str:
    return f"{readable(repr(value), 80)} ({type(value).__name__})"


def _few(names: Iterable[str]) -> str:
    shown = list(itertools.islice(names, 11))
    return readable(", ".join([*shown[:10], *(["..."] if len(shown) > 10 else [])])) or "none"  # noqa: PLR2004
