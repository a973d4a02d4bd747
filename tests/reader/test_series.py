"""The series that are asked for, in any form, and what is said of those that cannot be meant."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from undertow.core.errors import WrongUsage
from undertow.reader.series import id_columns
from undertow.schemas.contract import IdColumn

WEARER, SESSION = IdColumn(name="wearer", type="string"), IdColumn(name="session", type="integer")
COLUMNS = {"wearer": ["a", "b", "a"], "session": [1, -2, 2**62]}
ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
WITH_OTHERS = {"label": [0.1, 0.2, 0.3], **COLUMNS}


class LikePolars:
    """Columns by name, which have `to_list`, as those of polars (which is not installed for the tests)."""

    columns = tuple(WITH_OTHERS)

    def __getitem__(self, name):
        return type("Column", (), {"to_list": lambda _: WITH_OTHERS[name]})()


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        tuple(ROWS),
        COLUMNS,
        {name: np.array(column) for name, column in COLUMNS.items()},
        pd.DataFrame(WITH_OTHERS),
        LikePolars(),
        pa.table(WITH_OTHERS),
        pa.RecordBatch.from_pydict(WITH_OTHERS),
    ],
    ids=lambda given: type(given).__module__.partition(".")[0] + "-" + type(given).__name__,
)
def test_all_forms_are_the_same_series(given):
    found = id_columns(given, (WEARER, SESSION))
    assert {name: column.tolist() for name, column in found.items()} == COLUMNS
    assert [column.dtype for column in found.values()] == [object, np.int64]


@pytest.mark.parametrize("given", [[3, 1], (3, 1), np.array([3, 1], np.int32), pd.Series([3, 1]), iter([3, 1])])
def test_series_of_one_id_may_be_its_values(given):
    assert id_columns(given, (SESSION,))["session"].tolist() == [3, 1]


WRONG = {
    "a text": ("s08", (WEARER,), "expected many series"),
    "a number": (3, (SESSION,), "expected many series"),
    "a number as text": (["3"], (SESSION,), r"session: expected integers, found '3' \(str\) in row 0"),
    "a text as number": (["a", 3], (WEARER,), r"wearer: expected texts, found 3 \(int\) in row 1"),
    "a bool": ([1, True], (SESSION,), r"session: expected integers, found True \(bool\) in row 1"),
    "a float": ([1, 2.0], (SESSION,), r"session: expected integers, found 2.0 \(float\) in row 1"),
    "nothing": (["a", None], (WEARER,), r"wearer: expected texts, found None \(NoneType\) in row 1"),
    "too great": ([1, 2**63], (SESSION,), "session: expected integers of 64 bits, found 9223372036854775808"),
    "no UTF-8": (["a", "\ud800"], (WEARER,), r"wearer: expected texts of UTF-8, found '\\ud800' \(str\) in row 1"),
    "bytes": ([b"a"], (WEARER,), r"wearer: expected texts, found b'a' \(bytes\)"),
    "values of two ids": (["a"], (WEARER, SESSION), "expected a list of dicts, or a table"),
    "a missing id": (
        [*ROWS, {"wearer": "a"}],
        (WEARER, SESSION),
        "row 3: expected a dict with the ids wearer",
    ),
    "another id": ([{**ROWS[0], "x": 1}], (WEARER, SESSION), "row 0: expected a dict with the ids wearer, session"),
    "a mix": ([ROWS[0], "a"], (WEARER, SESSION), "row 1: expected a dict"),
    "a missing column": (pd.DataFrame({"wearer": ["a"]}), (WEARER, SESSION), "found no session among: wearer"),
    "an unknown column": ({**COLUMNS, "x": [1, 2, 3]}, (WEARER, SESSION), "found also x"),
    "uneven columns": ({"wearer": ["a"], "session": [1, 2]}, (WEARER, SESSION), "found wearer: 1, session: 2"),
    "nulls of pandas": (pd.DataFrame({"session": [1, None]}), (SESSION,), r"found 1.0 \(float\) in row 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_meant_is_refused_with_its_row(name):
    given, series, said = WRONG[name]
    with pytest.raises(WrongUsage, match=said):
        id_columns(given, series)
