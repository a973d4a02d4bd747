"""Beside cells a stream has what a frame has: calendars, what is known ahead, statics, names."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made, plainly, table_of
from tests.observations.streaming import Streamed, text
from undertow.observations import series_places, streamed
from undertow.observations.held_series import HeldSeries
from undertow.observations.series_keys import KeyTable, keys_of
from undertow.observations.series_places import PARTITION, SeriesPlaces
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column

HOUR_US = 3_600_000_000
AUTUMN_US = 1_792_879_200_000_000  # 2026-10-24T22:00Z: a day later the clocks of Berlin are set back
KINDS = {"site": pa.string(), TIME: pa.int64(), "flow": pa.float64(), "mode": pa.string(), "kind": pa.string()}
CONTRACT = contract_of(
    "flow",
    Column(name="mode", categories=("x", "y"), accepts_unknown=True),
    Column(name="hour", categories=tuple(map(str, range(24)))),
    "tariff",
    future=(Column(name="tariff"),),
    static=(Column(name="kind", categories=("x", "y"), accepts_unknown=True), Column(name="size")),
    horizon=2,
    min_length=2,
)
SPEC = WindowSpec(
    every="1h",
    calendar={"hour": "hour"},
    zone="Europe/Berlin",
    fill={"flow": "forward", "mode": "constant:none", "tariff": "none"},
    max_gap="2h",
    lateness="3h",
)
KNOWN = pa.table(
    {
        "site": ["a", "b", "c"] * 40,
        TIME: pa.array(np.repeat(AUTUMN_US + np.arange(40) * HOUR_US, 3), pa.int64()),
        "tariff": np.arange(120) / 7,
    }
)
STATIC = pa.table({"site": ["a", "c"], "size": [1.5, 2.5]})


def records_of(seed):
    """Rows of three series out of order by less than the lateness, in records of one or several."""
    chance, rows = random.Random(seed), []
    for site in "abc":
        for step in range(36):
            if chance.random() < 0.85:
                seen = {
                    "site": site,
                    TIME: AUTUMN_US + step * HOUR_US,
                    "flow": chance.choice([chance.random(), None]),
                    "mode": chance.choice(["x", "y", f"new{step}", None]),
                    "kind": chance.choice(["x", None, None, "y"] if site == "a" else ["y", None]),
                }
                rows.append((step + chance.random() * 2.9, seen))
    rows = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    records = []
    while rows:
        size = chance.choice([1, 1, 3])
        records.append(rows[:size])
        rows = rows[size:]
    return records


@given(st.integers(0, 1 << 32))
def test_a_stream_has_beside_cells_what_a_frame_has(seed):
    records = records_of(seed)
    # What comes at last closes all before it: then the frame has no window that the stream has not.
    records.append([{"site": site, TIME: AUTUMN_US + 90 * HOUR_US, "flow": 0.0} for site in "abc"])
    chance = random.Random(seed)
    stream = Streamed(SPEC, CONTRACT, KINDS, KNOWN, STATIC)
    while records:
        size = chance.randint(1, 9)
        stream.feed(records[:size])
        records = records[size:]
        if chance.random() < 0.2:
            stream.restart()
    rows = [row for record in records_of(seed) for row in record]
    frame = made(table_of(rows, KINDS), CONTRACT, SPEC, KNOWN, STATIC)
    assert sorted(text(window) for _, window in stream.found) == sorted(map(text, plainly(frame)))
    assert {reason for _, reason in stream.refused} <= {"static"}
    assert len(stream.refused) == len(frame.faults)


def test_a_partition_that_is_given_away_is_let_go_of_and_the_others_go_on():
    spec, contract = WindowSpec(every="1s", lateness="2s"), contract_of("flow", min_length=3)
    stream, alone = (Streamed(spec, contract, KINDS) for _ in range(2))

    def record(site, second):
        return [{"site": site, TIME: AUTUMN_US + second * 1_000_000, "flow": float(second)}]

    for second in range(9):
        for partition, site in enumerate("abc"):
            stream.feed([record(site, second)], partition=partition)
        alone.feed([record("c", second)], partition=2)
    before = stream.series.nbytes
    stream.series.drop([0])
    stream.series.drop([7])
    assert len(stream.series.held) == 2
    assert stream.series.nbytes < before
    stream.found, alone.found = [], []
    for second in range(9, 14):
        stream.feed([record("c", second)], partition=2)
        alone.feed([record("c", second)], partition=2)
    stream.feed([record("a", 20)], partition=0)
    assert [text(window) for _, window in stream.found] == [text(window) for _, window in alone.found]
    assert len(stream.found) == 5


@pytest.mark.parametrize("at_once", [1, 3, 1 << 16])
def test_a_series_is_astray_where_any_other_partition_holds_it(at_once, monkeypatch):
    monkeypatch.setattr(series_places, "_LOOKED_UP", at_once)
    stream, seen, chance = Streamed(SPEC, CONTRACT, KINDS, KNOWN, STATIC), {}, random.Random(at_once)
    for _ in range(60):
        site, partition = chance.choice("abcdefghij"), chance.randint(0, 4)
        taken = stream.feed([[{"site": site, TIME: AUTUMN_US}]], partition=partition)
        others = seen.setdefault(site, set())
        told = {f"site={site} in partition {partition} and in {other}" for other in others - {partition}}
        assert taken.astray in (told if told and partition not in others else {""})
        others.add(partition)


def test_a_series_is_astray_where_two_partitions_have_it_from_their_first_poll_on():
    places = SeriesPlaces(HeldSeries(depth=1, columns=[], statics=0))
    ids = {"site": np.array(["b", "a", "c", "a"], object), PARTITION: np.array([1, 0, 0, 1])}
    assert places.find(ids)[1] == "site=a in partition 0 and in 1"
    assert places.find(ids)[1] == ""


@pytest.mark.parametrize("most", [0, 2, 3])
def test_windows_are_the_same_however_few_series_are_remembered_by_their_ids(most, monkeypatch):
    expected = _with_one_forgotten(3)
    monkeypatch.setattr(series_places, "_REMEMBERED", most)
    assert told_by(_with_one_forgotten(3)) == told_by(expected)


@pytest.mark.parametrize("seed", range(4))
def test_names_that_nothing_has_any_more_are_let_go_of_and_no_window_differs(seed, monkeypatch):
    expected = _with_one_forgotten(seed)
    monkeypatch.setattr(streamed, "_names_between", lambda _: -1)  # they are looked for at each poll
    stream = _with_one_forgotten(seed)
    assert told_by(stream) == told_by(expected)
    names, others = stream.series.names["mode"], expected.series.names["mode"]
    assert 0 < len(names) < len(others)
    assert names.nbytes < others.nbytes
    before = stream.series.nbytes
    stream.series.drop([0, 1])
    assert [len(names), names.nbytes] == [0, 0]
    assert stream.series.nbytes < before


def _with_one_forgotten(seed):
    """A stream in which series get other places."""
    stream, records = Streamed(SPEC, CONTRACT, KINDS, KNOWN, STATIC), records_of(seed)
    for first in range(0, len(records), 5):
        stream.feed(records[first : first + 5])
        if first == 30:
            stream.feed([[{"site": "x", TIME: AUTUMN_US}]], partition=1)
            stream.series.forget(keys_of({"site": np.array(["a"], object)}, [0]))
    return stream


def told_by(stream):
    """The windows, and by which records they were closed."""
    return [(offset, text(window)) for offset, window in stream.found]


@given(st.lists(st.lists(st.integers(0, 400), max_size=60, unique=True), max_size=8))
def test_every_key_is_found_where_it_was_added_and_no_other(portions):
    table, place_of = KeyTable(), {}
    for numbers in portions:
        keys = keys_of({"id": np.array(numbers, np.int64)}, [1] * len(numbers))
        found = table.find(keys)
        assert found.tolist() == [place_of.get(number, -1) for number in numbers]
        new = found < 0
        places = table.add(keys[new])
        place_of |= dict(zip(np.array(numbers)[new].tolist(), places.tolist(), strict=True))
    assert len(table) == len(place_of)


@pytest.mark.parametrize(
    ("one", "other"),
    [((["a", "bc"], 0), (["ab", "c"], 0)), ((["a", "b"], 0), (["a", "b"], 1)), ((["1", "\0"], 0), (["1\0", ""], 0))],
)
def test_other_ids_and_other_partitions_have_other_keys(one, other):
    def key(ids, partition):
        columns = {str(place): np.array([text], object) for place, text in enumerate(ids)}
        return keys_of(columns, [partition]).tolist()

    assert key(*one) != key(*other)
