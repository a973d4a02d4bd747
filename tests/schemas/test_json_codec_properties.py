"""The fast batch decoder against a naive one that looks at one record at a time, on anything at all."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import REASONS, Partition, Record

CONTRACT = InputContract(
    series=(IdColumn(name="a", type="string"), IdColumn(name="b", type="integer")),
    past=(Column(name="x"), Column(name="c", categories=("u", "v", "7"))),
    future=(Column(name="f"), Column(name="g", categories=("u",), accepts_unknown=True)),
    static=(Column(name="s"), Column(name="k", categories=("u", "7"))),
    min_length=1,
    max_length=3,
    horizon=2,
)
LIMIT = 600
FLOAT32_MAX = 3.4028234663852886e38
Row = tuple[Any, ...]
SCHEMA = json.loads(files("undertow.schemas").joinpath("window.v1.schema.json").read_text())

# The naive reference -------------------------------------------------------------------------------------------------


def refuse_constant(name: str) -> float:
    raise ValueError(name)


def naive(value: bytes | None, *, allows_gaps: bool = False) -> Row | None:
    """One record, the obvious way: its content as plain data, or None where it is refused."""
    try:
        if not value or len(value) > LIMIT:
            return None
        d = json.loads(value.decode("utf-8", "strict"), parse_constant=refuse_constant)
        json.dumps(d, ensure_ascii=False).encode()  # a lone surrogate anywhere is no text
        a, b = d["series"]["a"], d["series"]["b"]
        assert isinstance(a, str)
        assert 1 <= len(a.encode()) <= 1024
        assert isinstance(b, int)
        assert not isinstance(b, bool)
        assert -(2**63) <= b < 2**63
        end = naive_end(d["end"])
        n = len(d["past"]["x"])
        assert 1 <= n <= 3
        gaps = [i for i in range(1, n - 1) if allows_gaps and d["past"]["x"][i] is None and d["past"]["c"][i] is None]
        x = naive_list(d["past"]["x"], n, naive_number, gaps)
        c = naive_list(d["past"]["c"], n, lambda v: naive_category(v, {"u", "v", "7"}), gaps)
        f = naive_list(d["future"]["f"], 2, naive_number)
        g = naive_list(d["future"]["g"], 2, lambda v: v if v is None else naive_category(v, None))
        return a, b, end, x, c, f, g, naive_number(d["static"]["s"]), naive_category(d["static"]["k"], {"u", "7"})
    except (AssertionError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def naive_end(end: object) -> int:
    if isinstance(end, str):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", end, re.ASCII)
        end = (datetime.fromisoformat(end) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert isinstance(end, int)
    assert not isinstance(end, bool)
    assert datetime(1900, 1, 1, tzinfo=UTC) <= datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=end)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=end) < datetime(9999, 1, 1, tzinfo=UTC)
    return end


def naive_list(values: object, length: int, element: Any, gaps: Sequence[int] = ()) -> list[Any]:
    assert isinstance(values, list)
    assert len(values) == length
    return [None if place in gaps else element(value) for place, value in enumerate(values)]


def naive_number(value: object) -> float:
    assert isinstance(value, int | float)
    assert not isinstance(value, bool)
    assert math.isfinite(value)
    assert abs(value) <= FLOAT32_MAX
    return float(value)


def naive_category(value: object, known: set[str] | None) -> str:
    assert isinstance(value, str | int)
    assert not isinstance(value, bool)
    assert isinstance(value, str) or -(2**63) <= value < 2**64
    assert known is None or str(value) in known
    return str(value)


# Records, whole and broken -------------------------------------------------------------------------------------------

numbers = st.one_of(st.integers(-9, 9), st.floats(-1e30, 1e30), st.sampled_from([FLOAT32_MAX, -FLOAT32_MAX]))
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
known = st.sampled_from(["u", "v", 7, "7"])


@st.composite
def valid_documents(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(1, 3))
    end = st.sampled_from(["2026-01-01T00:00:02.56Z", "1950-06-01T12:00:00+05:30", 0, 1_767_225_602_560_000])
    return {
        "series": {"a": draw(ids), "b": draw(st.integers(-(2**63), 2**63 - 1))},
        "end": draw(end),
        "past": {
            "x": draw(st.lists(numbers, min_size=n, max_size=n)),
            "c": draw(st.lists(known, min_size=n, max_size=n)),
        },
        "future": {
            "f": draw(st.lists(numbers, min_size=2, max_size=2)),
            "g": draw(st.lists(st.one_of(ids, st.integers(0, 9), st.none()), min_size=2, max_size=2)),
        },
        "static": {"s": draw(numbers), "k": draw(st.sampled_from(["u", 7]))},
    }


@st.composite
def gappy_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A window with a null somewhere in one column, in both, or a step apart."""
    document = draw(valid_documents())
    for values in document["past"].values():
        if draw(st.integers(0, 3)):
            values[draw(st.sampled_from([1, 1, 1, 0, -1])) % len(values)] = None
    return document


awkward = st.one_of(
    st.sampled_from([None, True, False, "", "u", "w", "1", "\ud800", "é" * 513]),
    st.sampled_from([0, 7, 2**63, -(2**63) - 1, 2**64, 10**400, 1.5, 1e39, 4e38, float("nan"), float("inf")]),
    st.sampled_from([[], [1], [1, 2], [None, 1], ["u", "w"], [True, 1], [[1]], {}, {"x": [1]}]),
    st.sampled_from(["2026-01-01", "2026-01-01T00:00:00", "9999-01-01T00:00:00Z", -(2**62), 10**18]),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), awkward),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def broken_documents(draw: st.DrawFn) -> Any:
    """A valid window in which one place holds anything, or is gone."""
    document = draw(valid_documents())
    inside, name = document, draw(st.sampled_from(sorted(document)))
    if isinstance(document[name], dict) and draw(st.integers(0, 3)):
        inside, name = document[name], draw(st.sampled_from(sorted(document[name])))
    if isinstance(inside[name], list) and draw(st.booleans()):
        inside, name = inside[name], draw(st.integers(0, len(inside[name]) - 1))
    if draw(st.integers(0, 3)):
        inside[name] = draw(json_values)
    else:
        del inside[name]
    return document


def to_bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


values = st.one_of(
    valid_documents().map(to_bytes),
    valid_documents().map(to_bytes),
    broken_documents().map(to_bytes),
    broken_documents().map(to_bytes),
    gappy_documents().map(to_bytes),
    json_values.map(to_bytes),
    st.binary(max_size=20),
    st.none(),
    valid_documents().map(lambda d: to_bytes(d) + b" " * LIMIT),
)


def decode(given_values: list[bytes | None], contract: InputContract = CONTRACT) -> Any:
    partition = Partition("t", 0)
    records = [
        Record(partition=partition, offset=i, appended_us=0, value=value) for i, value in enumerate(given_values)
    ]
    return records, decode_json(records, contract, max_record_bytes=LIMIT)


def rows(windows: Any) -> list[Row]:
    starts = windows.starts.tolist()
    return [
        (
            windows.series["a"][i],
            int(windows.series["b"][i]),
            int(windows.end_us[i]),
            [None if math.isnan(x) else x for x in windows.past["x"][starts[i] : starts[i + 1]].tolist()],
            windows.past["c"][starts[i] : starts[i + 1]].tolist(),
            windows.future["f"][i].tolist(),
            windows.future["g"][i].tolist(),
            float(windows.static["s"][i]),
            windows.static["k"][i],
        )
        for i in range(len(windows))
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(values, max_size=8), st.booleans())
def test_exactly_the_valid_records_are_kept_in_order_whatever_lies_between(given_values, allows_gaps):
    records, decoded = decode(given_values, replace(CONTRACT, allows_gaps=allows_gaps))
    all_rows = [naive(value, allows_gaps=allows_gaps) for value in given_values]
    expected = [(position, row) for position, row in enumerate(all_rows) if row is not None]
    assert decoded.record_of.tolist() == [position for position, _ in expected]
    assert rows(decoded.windows) == [row for _, row in expected]
    refused = [position for position in range(len(records)) if position not in dict(expected)]
    assert [reject.record.offset for reject in decoded.rejects] == refused
    assert {reject.reason for reject in decoded.rejects} <= set(REASONS)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(), json_values.map(to_bytes), st.none()), max_size=4))
def test_no_bytes_whatsoever_make_the_decoder_raise(given_values):
    _, decoded = decode(given_values)
    assert len(decoded.rejects) + len(decoded.windows) == len(given_values)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(valid_documents(), gappy_documents()), max_size=4))
def test_encoding_and_decoding_give_back_every_bit(documents):
    contract = replace(CONTRACT, allows_gaps=True)
    _, first = decode([to_bytes(document) for document in documents], contract)
    _, again = decode(encode_json(first.windows), contract)
    assert rows(again.windows) == rows(first.windows)
    assert np.array_equal(again.windows.past["x"].view(np.int64), first.windows.past["x"].view(np.int64))


@settings(max_examples=50, deadline=None)
@given(st.one_of(valid_documents(), gappy_documents()))
def test_what_the_decoder_takes_the_published_json_schema_takes(document):
    jsonschema.validate(document, SCHEMA)
