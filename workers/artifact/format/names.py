"""Check that names can be columns: allowed by Feast and its stores, and different from all others.

In: an artifact's name, its id columns, its features and its input columns. Out: nothing, or a refusal. Knows no store.

A row of the offline log and of a Feast view holds the ids, the features and the log's own columns side by side. Names
must differ by more than case, since DuckDB ignores it.
"""

import re
from collections.abc import Iterable

from undertow.core.errors import Refused
from undertow.schemas.contract import InputContract
from undertow.schemas.embeddings import LOG_COLUMNS

LONGEST = 100
"""The most characters of a name: it becomes part of a file's name and of a table's, which may have 255. A choice."""
OF_JOINS = ("entity_row_id", "event_expire_timestamp", "rn")
"""Columns that Feast 0.67's DuckDB store adds in a join; it overwrites others of these names."""
DROPPED = "_y"
"""The suffix by which the same join marks duplicate columns, which it drops; it would drop such a feature, too."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_columns(series: Iterable[str], features: Iterable[str]) -> None:
    """Refuse ids and features whose names are equal, or equal to a column of the log itself."""
    kinds = [("id column", name) for name in series] + [("feature", name) for name in features]
    seen: dict[str, tuple[str, str]] = {}
    for kind, name in kinds:
        if name.casefold() in LOG_COLUMNS:
            message = (
                f"expected another name than {name!r} for the {kind}: the offline log has a column of this name itself "
                f"(taken, in any case: {', '.join(LOG_COLUMNS)}); name it otherwise and pack again"
            )
            raise Refused(message)
        if name.casefold() in seen:
            other, before = seen[name.casefold()]
            message = (
                f"expected names that differ by more than capitals, since ids and features are columns of one table, "
                f"found the {other} {before!r} and the {kind} {name!r}; rename one and pack again"
            )
            raise Refused(message)
        seen[name.casefold()] = kind, name


def check_names(name: str, features: Iterable[str]) -> None:
    """Refuse names that Feast or its stores would not take, or would change. For id columns see `check_ids`."""
    features = tuple(features)
    for what, text in (("artifact", name), *(("feature", feature) for feature in features)):
        if not _NAME.fullmatch(text) or len(text) > LONGEST:
            message = (
                f"expected the {what}'s name in small letters, digits and single underscores, at most {LONGEST} of "
                f"them, found {text!r}"
            )
            raise Refused(message)
    _check_joins("feature", features)
    for feature in features:
        if feature.endswith(DROPPED):
            message = (
                f"expected a feature's name that does not end in {DROPPED}, found {feature!r}: point-in-time joins of "
                "Feast's DuckDB store drop such columns; name it otherwise"
            )
            raise Refused(message)
    check_columns((), features)


def check_ids(contract: InputContract, features: Iterable[str]) -> None:
    """Refuse id columns that Feast would not take, or whose name another column has."""
    names = [column.name for column in contract.series]
    for name in names:
        if not _ID.fullmatch(name) or len(name) > LONGEST:
            message = (
                "expected id columns named by letters, digits and _, which begin with a letter, since they become "
                f"Feast's join keys, found {name!r}; rename the column, or name another: --series NAME"
            )
            raise Refused(message)
    _check_joins("id column", names)
    inputs = {column.name.casefold(): column.name for column in (*contract.past, *contract.future, *contract.static)}
    for name in names:
        if name.casefold() in inputs:
            message = (
                f"expected id columns of names that no input has, found the id column {name!r} and the input "
                f"{inputs[name.casefold()]!r}: observations carry both side by side; rename one, or name another id "
                "column: --series NAME"
            )
            raise Refused(message)
    check_columns(names, features)


def _check_joins(kind: str, names: Iterable[str]) -> None:
    for name in names:
        if name.casefold() in OF_JOINS:
            message = (
                f"expected another name than {name!r} for the {kind}: point-in-time joins of Feast's DuckDB store have "
                f"columns of this name themselves (taken: {', '.join(OF_JOINS)}); name it otherwise"
            )
            raise Refused(message)
