"""What is known ahead, and statics, from tables of their own."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made
from undertow.core.errors import Refused
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column, IdColumn

HORIZON = 2
PRICE = Column(name="price")
TARIFF = Column(name="tariff", categories=("low", "high"))
CONTRACT = contract_of("flow", PRICE, TARIFF, future=(PRICE, TARIFF), horizon=HORIZON, max_length=3)
SPEC = WindowSpec(every="10us", align="nearest")


def observations(points):
    sites, steps = zip(*points, strict=True) if points else ((), ())
    return pa.table(
        {
            "site": pa.array(sites, pa.string()),
            TIME: pa.array([10 * step for step in steps], pa.int64()),
            "flow": pa.array([float(step) for step in steps], pa.float64()),
        }
    )


def known_table(rows, *, by_site):
    table = {TIME: pa.array([10 * step for _, step, _, _ in rows], pa.int64())}
    if by_site:
        table["site"] = pa.array([site for site, *_ in rows], pa.string())
    table["price"] = pa.array([price for *_, price, _ in rows], pa.float64())
    table["tariff"] = pa.array([tariff for *_, tariff in rows], pa.string())
    return pa.table(table)


sites, steps = st.sampled_from("ab"), st.integers(0, 9)
known_rows = st.lists(
    st.tuples(st.sampled_from("abc"), steps, st.sampled_from([None, 1.0, 2.0]), st.sampled_from(["low", "high", None])),
    max_size=60,
)


def greater(one, other):
    return one if other is None else other if one is None else max(one, other)


@given(st.lists(st.tuples(sites, steps), max_size=12, unique=True), known_rows, st.booleans())
def test_windows_hold_what_is_known_and_are_not_made_where_a_step_ahead_is_not(points, rows, by_site):
    windows = made(observations(points), CONTRACT, SPEC, known=known_table(rows, by_site=by_site))
    known = {}
    for site, step, price, tariff in rows:  # of several the greatest
        key = (site if by_site else "", step)
        known[key] = tuple(map(greater, known.get(key, (None, None)), (price, tariff)))

    def at(site, step):
        found = known.get((site if by_site else "", step), (None, None))
        return None if None in found else found

    expected, missing = [], 0
    for site, end in sorted(points):
        start = end
        if at(site, end) is None:
            continue
        while (site, start - 1) in points and at(site, start - 1) and end - start < 2:
            start -= 1
        ahead = [at(site, step) for step in range(end + 1, end + HORIZON + 1)]
        if None in ahead:
            missing += 1
            continue
        past = [at(site, step) for step in range(start, end + 1)]
        expected.append((site, end * 10, past, ahead))
    found = []
    for batch in windows.batches(2):
        for row, start in enumerate(batch.starts[:-1]):
            span = slice(start, batch.starts[row + 1])
            past = list(zip(batch.past["price"][span], batch.past["tariff"][span], strict=True))
            ahead = list(zip(batch.future["price"][row], batch.future["tariff"][row], strict=True))
            found.append((batch.series["site"][row], batch.end_us[row], past, ahead))
    assert found == expected
    assert windows.left_out == ({"known": missing} if missing else {})


def test_a_row_of_what_is_known_that_cannot_be_used_is_named():
    rows = [("a", step, float(step), "low") for step in range(5)] + [("a", 2, np.inf, "low"), ("a", 9, 1.0, "dear")]
    windows = made(observations([("a", 1), ("a", 2)]), CONTRACT, SPEC, known=known_table(rows, by_site=True))
    assert [(fault.row, fault.reason) for fault in windows.known_faults] == [(5, "number"), (6, "category")]
    assert len(windows) == 2
    assert windows.faults == ()


def test_what_is_known_ahead_must_be_somewhere():
    with pytest.raises(Refused, match=r"price is known ahead: expected it in windows.calendar, or in a table"):
        made(observations([("a", 1)]), CONTRACT, SPEC)


SIZED = contract_of(
    "flow",
    series=(IdColumn(name="site", type="string"),),
    static=(Column(name="size"), Column(name="kind", categories=("x", "y"))),
)


def test_statics_come_from_a_table_with_a_row_a_series_and_the_others_from_the_observations():
    table = observations([("a", 1), ("b", 1), ("c", 1)]).append_column("kind", pa.array(["y", "x", "x"]))
    static = pa.table({"site": ["b", "a", None], "size": [2, 1, 3]})
    windows = made(table, SIZED, SPEC, static=static)
    (batch,) = windows.batches()
    assert batch.series["site"].tolist() == ["a", "b"]
    assert batch.static["size"].tolist() == [1.0, 2.0]
    assert batch.static["kind"].tolist() == ["y", "x"]
    assert windows.left_out == {"static": 1}


@pytest.mark.parametrize(
    ("static", "message"),
    [
        ({"site": ["a", "a"], "size": [1, 1], "kind": ["x", "x"]}, "found a twice"),
        ({"size": [1], "kind": ["x"]}, "expected a column site, found none"),
        ({"site": ["a"], "size": ["tall"], "kind": ["x"]}, "size: expected numbers, found string"),
    ],
)
def test_a_table_of_statics_that_cannot_be_meant_is_refused(static, message):
    with pytest.raises(Refused, match=message):
        made(observations([("a", 1)]), SIZED, SPEC, static=pa.table(static))
