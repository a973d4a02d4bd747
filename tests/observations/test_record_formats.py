"""Records in JSON, Arrow and Avro become what a table of their rows becomes; each bad row is a reject of its record."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made, plainly
from tests.observations.streaming import plan_of, text
from undertow.observations.record_arrow import arrow_reader, encode_rows
from undertow.observations.record_avro import avro_reader, avro_row_encoder, confluent_reader, row_schema_text
from undertow.observations.record_json import json_reader
from undertow.observations.spec import WindowSpec
from undertow.observations.streamed import StreamedSeries
from undertow.observations.streamed_records import StreamedRecords, read_form
from undertow.schemas.avro_schemas import read_row_schema
from undertow.schemas.contract import Column, IdColumn
from undertow.schemas.records import REASONS, Partition, Record
from undertow.settings.sections import EventTimeSettings

NOW_US = 1_790_000_000_000_000
CONTRACT = contract_of(
    "flow",
    Column(name="mode", categories=("x", "y")),
    series=(IdColumn(name="site", type="string"), IdColumn(name="unit", type="integer")),
    static=(Column(name="size"),),
)
SPEC = WindowSpec(every="1s", created="made")


def records_of(*values, appended_us=NOW_US):
    return [
        Record(partition=Partition("readings", 0), offset=offset, appended_us=appended_us, value=value)
        for offset, value in enumerate(values)
    ]


def opened(form="json", spec=SPEC, contract=CONTRACT, wrote=None):
    """A decoder; of a registry's format, of records written with the schema `wrote`."""
    series = StreamedSeries(plan_of(spec, contract))
    some_of = [one.name for one in series.plan.of("observed")]
    reads = {
        "json": lambda: json_reader(read_form(series), some_of=some_of, max_record_bytes=10_000),
        "arrow": lambda: arrow_reader(read_form(series), max_record_bytes=10_000),
        "avro": lambda: avro_reader(read_form(series), some_of=some_of, max_record_bytes=10_000),
        "avro-confluent": lambda: confluent_reader(
            read_form(series),
            some_of=some_of,
            max_record_bytes=10_000,
            schema_of=lambda _: read_row_schema(wrote, TIME),
        ),
    }
    wrote = wrote or row_schema_text(read_form(series))
    return StreamedRecords(series, reads[form](), times_at=EventTimeSettings().at)


def row(second=0, **changes):
    time_us = NOW_US + second * 1_000_000
    usual = {"site": "a", "unit": 7, "event_timestamp": time_us, "made": 1, "flow": 0.1, "mode": "x", "size": 2.0}
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


KINDS = pa.schema(
    {
        "site": pa.string(),
        "unit": pa.int64(),
        "event_timestamp": pa.int64(),
        "made": pa.int64(),
        "flow": pa.float64(),
        "mode": pa.string(),
        "size": pa.float64(),
    }
)


def as_value(form, rows):
    if form == "json":
        return json.dumps(rows).encode()
    if form.startswith("avro"):
        own = read_form(StreamedSeries(plan_of(SPEC, CONTRACT)))
        return avro_row_encoder(own, schema_id=7 if form == "avro-confluent" else None)(rows)
    return encode_rows(pa.Table.from_pylist(rows, schema=KINDS))


class _Batches:
    def __init__(self, batch):
        self._batch = batch

    def batches(self, _rows):
        yield self._batch


@pytest.mark.parametrize("form", ["json", "arrow", "avro", "avro-confluent"])
def test_records_give_the_windows_of_a_table_of_their_rows(form):
    rng = np.random.default_rng(3)
    rows = [row(second, unit=unit, flow=rng.normal(), mode="xy"[second % 2]) for second in range(9) for unit in (7, 8)]
    decoded = opened(form).decode(records_of(*(as_value(form, rows[at : at + 4]) for at in range(0, len(rows), 4))))
    frame = plainly(made(pa.Table.from_pylist(rows, schema=KINDS), CONTRACT, SPEC))
    found = plainly(_Batches(decoded.windows))
    assert decoded.rejects == ()
    assert sorted(map(text, found)) == sorted(map(text, frame))
    assert decoded.record_of.tolist() == sorted(decoded.record_of.tolist())


@pytest.mark.parametrize(
    ("given", "reason", "detail"),
    [
        (b"", "empty", "expected a window, found no value"),
        (b"{", "not-json", "expected JSON, found text that is none"),
        (b"[]", "empty", "expected at least one observation, found an empty list"),
        (b"[3]", "not-json", "expected an observation as a JSON object, found a int"),
        (b"x" * 10_001, "too-large", "expected at most 10000 bytes"),
        (row(flow=..., mode=..., floww=1), "columns", "expected at least one of flow, mode, found none"),
        (row(event_timestamp=...), "time", "event_timestamp: expected a time, found None"),
        (row(event_timestamp="2026-09-21"), "time", "event_timestamp: expected a time, found 2026-09-21"),
        (row(event_timestamp=NOW_US // 1_000), "time", "as milliseconds it would be 2026-09-21T14:13:20"),
        (row(event_timestamp="1979-06-01T00:00:00Z"), "event-time", "event_timestamp: expected 1980-01-01"),
        (row(100_000), "event-time", "(kafka.event_time), found 2026-09-22T18:00:00"),
        (row(0.3), "off-grid", "expected a time within windows.tolerance (0) of a grid point"),
        (row(site=3), "series", "site: expected a text, found 3"),
        (row(site=...), "series", "site: expected an id"),
        (row(unit="7"), "series", "unit: expected a whole number of 64 bits, found 7"),
        (row(flow="1.5"), "number", 'flow: expected a number or null, found the text "1.5"'),
        (row(flow=True), "number", "flow: expected a number or null, found True"),
        (row(flow=1e39), "number", "flow: expected a number within float32"),
        (row(mode="z"), "category", "mode: expected a category that the model knows, found z"),
        (row(made="noon"), "time", "made: expected a number, a time or null, found noon"),
    ],
)
def test_what_is_no_observation_is_a_reject_that_says_why_and_its_neighbours_are_taken(given, reason, detail):
    value = given if isinstance(given, bytes) else json.dumps({**given, "event_timestamp": _whole(given)}).encode()
    neighbour = json.dumps([row(1), row(2)]).encode()
    decoded = opened().decode(records_of(value, neighbour))
    (reject,) = decoded.rejects
    assert (reject.record.offset, reject.reason) == (0, reason)
    assert detail in reject.detail
    assert len(decoded.windows) == 2


def _whole(given):
    time = given.get("event_timestamp")
    return int(time) if isinstance(time, float) else time


def test_several_bad_rows_of_a_record_are_one_reject_and_its_others_are_taken():
    rows = [row(second, flow="bad") for second in range(5)] + [row(6)]
    decoded = opened().decode(records_of(json.dumps(rows).encode()))
    assert [reject.reason for reject in decoded.rejects] == ["number"]
    assert decoded.rejects[0].detail.endswith("; and 2 more observations")
    assert len(decoded.windows) == 1


FAULTS = [{}, {"flow": 1e39}, {"mode": "z"}, {"site": ""}, {"event_timestamp": NOW_US + 1}]


@given(st.lists(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=9), min_size=1, max_size=4))
def test_of_a_record_the_first_bad_rows_are_explained_and_the_others_counted(given_faults):
    records = [[row(9 * at + n, **one) for n, one in enumerate(some)] for at, some in enumerate(given_faults)]

    def details(record):
        decoded = opened("arrow").decode([record])
        return [reject.detail for reject in decoded.rejects]

    expected = []
    for rows in records:
        found = [detail for one in rows for detail in details(*records_of(as_value("arrow", [one])))]
        more = f"; and {len(found) - 3} more observation{'s' * (len(found) > 4)}" if len(found) > 3 else ""
        expected += ["; ".join(found[:3]) + more] * bool(found)
    together = opened("arrow").decode(records_of(*(as_value("arrow", rows) for rows in records)))
    assert [reject.detail for reject in together.rejects] == expected


@pytest.mark.parametrize(
    ("seconds", "reason"), [([4, 1, 2, 0, 3], "late"), ([10**9, 10**9 + 1, 10**9, 10**9], "event-time")]
)
def test_of_late_rows_and_of_odd_times_the_first_are_explained_and_the_others_counted(seconds, reason):
    decoder, alone = opened(), opened()
    for one in (decoder, alone):
        one.decode(records_of(json.dumps(row(5)).encode()))
    texts = [json.dumps(row(second)).encode() for second in seconds]
    found = [reject for value in texts for reject in alone.decode(records_of(value)).rejects]
    (reject,) = decoder.decode(records_of(b"[" + b",".join(texts) + b"]")).rejects
    assert {one.reason for one in found} == {reject.reason} == {reason}
    others = len(found) - 3
    more = f"; and {others} more observation{'s' * (others > 1)}"
    assert reject.detail == "; ".join(one.detail for one in found[:3]) + more


def test_an_arrow_record_with_a_column_of_a_wrong_type_is_a_reject():
    bad = pa.Table.from_pylist([row()], schema=KINDS).set_column(4, "flow", pa.array(["tall"]))
    decoded = opened("arrow").decode(records_of(encode_rows(bad), as_value("arrow", [row()]), b"ARROW1"))
    assert [(one.record.offset, one.reason) for one in decoded.rejects] == [(0, "columns"), (2, "not-arrow")]
    assert decoded.rejects[0].detail == "flow: expected numbers, found string"
    assert len(decoded.windows) == 1


def test_local_times_are_those_of_the_zone_in_either_format():
    spec = WindowSpec(every="1h", zone="Europe/Berlin", fold="later")
    contract = contract_of("flow")
    hours = ["2026-10-25T01:00:00", "2026-10-25T02:00:00", "2026-10-25T03:00:00"]
    rows = [{"site": "a", "event_timestamp": hour, "flow": 1.0} for hour in hours]
    appended_us = 1_800_000_000_000_000
    found = opened("json", spec, contract).decode(records_of(json.dumps(rows).encode(), appended_us=appended_us))
    times = pa.array([np.datetime64(hour, "us") for hour in hours], pa.timestamp("us"))
    table = pa.table({"site": ["a"] * 3, "event_timestamp": times, "flow": [1.0] * 3})
    other = opened("arrow", spec, contract).decode(records_of(encode_rows(table), appended_us=appended_us))
    assert found.windows.end_us.tolist() == other.windows.end_us.tolist()
    assert np.diff(found.windows.end_us).tolist() == [2 * 3_600_000_000, 3_600_000_000]
    refused = opened("json", replace(spec, fold="refuse"), contract)
    (reject,) = refused.decode(records_of(json.dumps(rows).encode(), appended_us=appended_us)).rejects
    assert reject.reason == "local-time"


def test_a_contradiction_that_is_seen_only_when_its_cell_is_closed_names_the_record():
    decode = opened(spec=WindowSpec(every="1s", lateness="5s")).decode
    first = decode(records_of(*(json.dumps(row(second, size=float(second // 3))).encode() for second in range(4))))
    assert first.rejects == ()
    (late,) = records_of(json.dumps(row(20, size=0.0)).encode())
    (reject,) = decode([replace(late, offset=4)]).rejects
    assert (reject.record.offset, reject.reason, reject.record.value) == (3, "static", None)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([NOW_US, "2026-09-21T14:13:20Z", "2026-09-21T14:13:20", "a", "x", 7]),
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
ROWS = st.fixed_dictionaries({}, optional={name: st.one_of(LEAVES, ANYTHING) for name in KINDS.names})


@given(
    st.lists(st.one_of(ANYTHING, ROWS, st.lists(ROWS, max_size=3)), max_size=4), st.sampled_from(["", "Europe/Berlin"])
)
def test_no_json_is_too_odd_to_be_an_observation_or_a_reject(values, zone):
    records = records_of(*(json.dumps(value).encode() for value in values))
    decoded = opened(spec=replace(SPEC, zone=zone)).decode(records)
    assert all(reject.reason in REASONS for reject in decoded.rejects)
    assert len(decoded.windows) == len(decoded.record_of)


@given(st.lists(st.binary(max_size=40), max_size=3), st.sampled_from(["json", "arrow", "avro", "avro-confluent"]))
def test_no_bytes_are_too_odd_to_be_a_reject(values, form):
    decoded = opened(form).decode(records_of(*values))
    assert len(decoded.windows) == 0
    assert all(reject.reason in REASONS for reject in decoded.rejects)


def test_no_records_are_no_windows():
    assert len(opened().decode([]).windows) == len(opened("arrow").decode([]).windows) == 0
