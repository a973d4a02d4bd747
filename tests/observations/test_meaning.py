"""Any observations become the windows that the plain reference makes of them, in whatever order they come."""

import math
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, bits, contract_of, made, plainly, table_of
from tests.observations.reference import windows_of
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column, IdColumn

NUMBERS = [None, math.nan, math.inf, 0.0, -0.0, 0.1, 0.2, 0.3, -1.5, 3.4e38, 1e39]
MODE = Column(name="mode", categories=("x", "y"))
OPEN = Column(name="mode", categories=("x", "y"), accepts_unknown=True)
KINDS = {
    "site": pa.string(),
    "unit": pa.int64(),
    TIME: pa.int64(),
    "made": pa.int64(),
    "flow": pa.float64(),
    "head": pa.float64(),
    "mode": pa.string(),
    "size": pa.float64(),
    "kind": pa.string(),
}


def mostly(usual, rare):
    """Draw of `usual` nine times out of ten: a row has many columns, and most rows are to be good."""
    return st.integers(0, 9).flatmap(lambda number: st.sampled_from(usual if number else rare))


ROWS = st.fixed_dictionaries(
    {
        "site": mostly(["a", "a", "b"], [None, ""]),
        "unit": mostly([7, 7, -3], [None]),
        "step": mostly(list(range(-3, 12)), [None]),
        "off": mostly([0], [-2, -1, 1, 2, 5]),
        "made": st.sampled_from([None, 1, 2]),
        "flow": mostly([0.1, 0.2, 0.3, 0.0, -1.5, None], NUMBERS),
        "head": mostly([0.5, 0.1, 0.7], [None]),
        "mode": mostly(["x", "y"], [None, "z"]),
        "size": mostly([1.0], [2.0, None]),
        "kind": mostly(["x"], ["y", None]),
    }
)


@st.composite
def cases(draw):
    gaps = draw(st.booleans())
    align = draw(st.sampled_from(["nearest", "until"]))
    every = draw(st.sampled_from([1, 4, 5, 10]))
    tolerance = draw(st.sampled_from([0, 1, every // 2, every // 2])) if align == "nearest" else 0
    tolerance = min(tolerance, every // 2)
    fills = ["none", "forward", 0.25, "constant:9", *(["null"] * 3 if gaps else [])]
    spec = WindowSpec(
        every=f"{every}us",
        align=align,
        tolerance=f"{tolerance}us" if tolerance else "0",
        origin=draw(st.sampled_from(["", "1970-01-01T00:00:00.000003Z"])),
        created=draw(st.sampled_from(["", "made"])),
        combine=draw(
            st.one_of(
                st.sampled_from(["last", "mean", "sum", "min", "max"]),
                st.fixed_dictionaries(
                    {"flow": st.sampled_from(["mean", "sum"]), "*": st.sampled_from(["last", "max"])}
                ),
            )
        ),
        fill={
            "flow": draw(st.sampled_from(fills)),
            "head": draw(st.sampled_from(fills)),
            "mode": draw(st.sampled_from(["none", "forward", "constant:y", *(["null"] if gaps else [])])),
        },
        max_gap=draw(st.integers(1, 4)),
        on=draw(st.sampled_from(["observation", "grid"])),
        stride=draw(st.sampled_from([1, 1, 1, 2, 3])),
        min_length=draw(st.sampled_from([0, 0, 2])),
        max_length=draw(st.sampled_from([0, 0, 3])),
    )
    ids = [IdColumn(name="site", type="string"), IdColumn(name="unit", type="integer")][: draw(st.integers(1, 2))]
    static = (Column(name="size"), Column(name="kind", categories=("x", "y"), accepts_unknown=True))
    contract = contract_of(
        "flow",
        "head",
        *draw(st.sampled_from([(), (MODE,), (OPEN,)])),
        series=tuple(ids),
        static=draw(st.sampled_from([(), static])),
        allows_gaps=gaps,
    )
    if not any(column.name == "mode" for column in contract.past):
        spec = WindowSpec(**{**as_given(spec), "fill": {key: spec.fill[key] for key in ("flow", "head")}})
    rows = draw(st.lists(ROWS, max_size=40))
    for row in rows:
        step, off = row.pop("step"), row.pop("off")
        row[TIME] = None if step is None else spec.origin_us + step * every + off
    return rows, spec, contract


def as_given(spec):
    return {name: getattr(spec, name) for name in spec.__slots__}


@given(cases())
def test_windows_and_faults_are_those_of_the_plain_reference(case):
    seen, spec, contract = case
    windows = made(table_of(seen, KINDS), contract, spec)
    expected, faults = windows_of(seen, spec, contract)
    assert plainly(windows) == expected
    assert [(fault.row, fault.reason) for fault in windows.faults] == faults


@given(cases(), st.randoms(use_true_random=False))
def test_any_order_of_the_rows_gives_the_same_bits(case, chance):
    seen, spec, contract = case
    order = list(range(len(seen)))
    chance.shuffle(order)
    windows = made(table_of(seen, KINDS), contract, spec)
    others = made(table_of([seen[row] for row in order], KINDS), contract, spec)
    assert bits(windows) == bits(others)
    reasons = sorted((order[fault.row], fault.reason) for fault in others.faults)
    assert reasons == [(fault.row, fault.reason) for fault in windows.faults]


@given(cases())
def test_a_row_that_is_left_out_changes_nothing_else(case):
    seen, spec, contract = case
    windows = made(table_of(seen, KINDS), contract, spec)
    bad = {fault.row for fault in windows.faults}
    rest = [row for number, row in enumerate(seen) if number not in bad]
    assert bits(made(table_of(rest, KINDS), contract, spec)) == bits(windows)


@pytest.mark.parametrize("rule", ["mean", "sum"])
def test_sums_of_many_observations_of_a_cell_have_the_same_bits_in_any_order(rule):
    chance = random.Random(4)
    seen = [
        {"site": "a", TIME: chance.randrange(40), "flow": chance.choice([1e16, 1.0, -1e16, 0.1])} for _ in range(3_000)
    ]
    spec, contract = WindowSpec(every="10us", align="until", combine=rule), contract_of("flow")
    first = made(table_of(seen, KINDS), contract, spec)
    chance.shuffle(seen)
    assert bits(made(table_of(seen, KINDS), contract, spec)) == bits(first)
    assert plainly(first) == windows_of(seen, spec, contract)[0]
