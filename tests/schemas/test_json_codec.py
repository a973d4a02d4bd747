"""The JSON codec, example by example: what is taken, what is refused, and what the refusal says."""

import json
from dataclasses import replace

import numpy as np
import pytest

from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.decoded import Decoded
from undertow.schemas.json_codec import decode_json, encode_json
from undertow.schemas.records import REASONS, Partition, Record

CONTRACT = InputContract(
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="limb", type="integer")),
    past=(Column(name="ax"), Column(name="mode", categories=("1", "walk", "rest"))),
    future=(Column(name="holiday"), Column(name="shift", categories=("day", "night"), accepts_unknown=True)),
    static=(Column(name="weight"), Column(name="device", categories=("watch",))),
    min_length=2,
    max_length=4,
    horizon=2,
)
LIMIT = 4096
MISSING = object()


def document(**changes: object) -> dict[str, object]:
    """A valid window; `past__ax=...` changes one column and `MISSING` takes a field away."""
    whole: dict[str, object] = {
        "series": {"wearer": "s08", "limb": 3},
        "end": "2026-01-01T00:00:02.560000Z",
        "past": {"ax": [0.5, -1, 2.25], "mode": ["walk", 1, "rest"]},
        "future": {"holiday": [0, 1.0], "shift": ["day", "dusk"]},
        "static": {"weight": 71.5, "device": "watch"},
    }
    for path, value in changes.items():
        *above, name = path.split("__")
        inside = whole
        for step in above:
            inside = inside[step]
        if value is MISSING:
            del inside[name]
        else:
            inside[name] = value
    return whole


def decode(*values: object, contract: InputContract = CONTRACT) -> Decoded:
    texts = [v if v is None or isinstance(v, bytes) else json.dumps(v).encode() for v in values]
    records = [
        Record(partition=Partition("t", 0), offset=offset, appended_us=0, value=text)
        for offset, text in enumerate(texts)
    ]
    return decode_json(records, contract, max_record_bytes=LIMIT)


def only_reject(*values: object) -> tuple[str, str]:
    decoded = decode(*values)
    (reject,) = decoded.rejects
    assert reject.reason in REASONS
    return reject.reason, reject.detail


def test_a_valid_window_arrives_column_by_column():
    windows = decode(document()).windows
    assert windows.series["wearer"].tolist() == ["s08"]
    assert windows.series["limb"].tolist() == [3]
    assert windows.series["limb"].dtype == np.int64
    assert windows.end_us.tolist() == [1_767_225_602_560_000]
    assert windows.lengths.tolist() == [3]
    assert windows.past["ax"].tolist() == [0.5, -1.0, 2.25]
    assert windows.past["ax"].dtype == np.float64
    assert windows.past["mode"].tolist() == ["walk", "1", "rest"]
    assert windows.future["holiday"].tolist() == [[0.0, 1.0]]
    assert windows.future["shift"].tolist() == [["day", "dusk"]]
    assert windows.static["weight"].tolist() == [71.5]
    assert windows.static["device"].tolist() == ["watch"]


def test_no_records_give_empty_columns_of_the_right_shape():
    windows = decode().windows
    assert len(windows) == 0
    assert windows.series["limb"].dtype == np.int64
    assert windows.past["mode"].dtype == object
    assert windows.future["holiday"].shape == (0, 2)


def test_valid_neighbours_of_broken_records_survive_and_know_their_record():
    decoded = decode(document(), b"{", document(past__ax=[1, None, 3]), document(series__wearer="s09"))
    assert decoded.windows.series["wearer"].tolist() == ["s08", "s09"]
    assert decoded.record_of.tolist() == [0, 3]
    assert [(reject.record.offset, reject.reason) for reject in decoded.rejects] == [(1, "not-json"), (2, "number")]


@pytest.mark.parametrize(
    ("lengths", "least", "blamed"),
    [
        ((1, 3, 3), 3, "past.a: expected 3 steps, as the model has, found 1"),
        ((2, 2, 3), 3, "past.a: expected 3 steps, as the model has, found 2"),
        ((1, 3, 3), 1, "past.a: expected 3 steps, as past.b has, found 1"),
        ((2, 3, 2), 1, "past.b: expected 2 steps, as past.a has, found 3"),
        ((2, 2, 2), 3, "past: expected 3 steps, found 2"),
    ],
)
def test_of_columns_of_several_lengths_the_one_unlike_the_model_or_most_others_is_named(lengths, least, blamed):
    columns = dict(zip("abc", lengths, strict=True))
    contract = InputContract(
        series=CONTRACT.series, past=tuple(Column(name=name) for name in columns), min_length=least, max_length=3
    )
    window = document(past={name: [1.0] * length for name, length in columns.items()}, future=MISSING, static=MISSING)
    (reject,) = decode(window, contract=contract).rejects
    assert (reject.reason, reject.detail) == ("length", blamed)


def test_columns_that_the_contract_does_not_name_are_ignored_and_counted():
    extra = document(past__az=["anything"], future__x=None, static__y={}, series__z=1, note="not a column")
    decoded = decode(extra, document(), document(past__az=[]))
    assert decoded.rejects == ()
    assert decoded.ignored_columns == 5


def test_parts_that_the_contract_does_not_need_may_be_absent_or_anything():
    contract = InputContract(series=CONTRACT.series, past=CONTRACT.past, min_length=2, max_length=4)
    bare = document(future=MISSING, static=MISSING)
    assert len(decode(bare, document(future=7, static=None), contract=contract).windows) == 2


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, "empty", "expected a window, found no value"),
        (b"", "empty", "expected a window, found no value"),
        (b" " * 5000, "too-large", "expected at most 4096 bytes (kafka.max_record_bytes), found 5000"),
        (b"[1, 2]", "not-json", "expected a JSON object, found a list"),
        (b"[" * 4000, "not-json", "depth"),
        (b"\xff\xfe{\x00}\x00", "not-json", "found text that is none"),
        (json.dumps(document()).encode()[:-1], "not-json", "found text that is none"),
        (
            document(past__ax=[[[[0]]], 1, 2]),
            "number",
            "past.ax[0]: expected a finite number within float32, found a list",
        ),
    ],
)
def test_what_is_no_window_at_all_is_refused(value, reason, detail):
    found = only_reject(value, document())
    assert found[0] == reason
    assert detail in found[1]


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"series": MISSING}, "series", "series: expected an object with wearer, limb, found nothing"),
        ({"series": None}, "series", "series: expected an object with wearer, limb, found null"),
        ({"series": ["s08"]}, "series", "series: expected an object with wearer, limb, found a list of 1"),
        (
            {"series__wearer": MISSING},
            "series",
            "series.wearer: expected a string of 1 to 1024 bytes of UTF-8, found nothing",
        ),
        ({"series__wearer": ""}, "series", "series.wearer"),
        ({"series__wearer": 8}, "series", "found 8"),
        ({"series__wearer": "é" * 513}, "series", "series.wearer"),
        ({"series__wearer": "\ud800"}, "series", "series.wearer"),
        ({"series__limb": True}, "series", "series.limb: expected an integer of 64 bits, found true"),
        ({"series__limb": 3.0}, "series", "found 3.0"),
        ({"series__limb": "3"}, "series", 'found "3"'),
        ({"series__limb": 2**63}, "series", "found 9223372036854775808"),
        ({"series__limb": -(2**70)}, "series", "series.limb"),
        ({"end": MISSING}, "missing", "end: expected the event time of the last step, found nothing"),
        ({"end": "2026-01-01T00:00:00"}, "end", 'found "2026-01-01T00:00:00"'),
        ({"end": None}, "end", "found null"),
        ({"end": True}, "end", "found true"),
        ({"end": 1.5e15}, "end", "found 1500000000000000.0"),
        ({"past": MISSING}, "missing", "past: expected an object of columns, found nothing"),
        ({"past": [1]}, "columns", "past: expected an object of columns, found a list of 1"),
        ({"past__ax": MISSING}, "columns", "past.ax: expected a list, found nothing"),
        ({"past__ax": "abc"}, "columns", 'past.ax: expected a list, found "abc"'),
        ({"past__mode": None}, "columns", "past.mode: expected a list, found null"),
        ({"past__mode": ["walk"]}, "length", "past.mode: expected 3 steps, as past.ax has, found 1"),
        ({"past__ax": [1]}, "length", "past.mode: expected 1 step, as past.ax has, found 3"),
        ({"past__ax": [1], "past__mode": [1]}, "length", "past: expected 2 to 4 steps, found 1"),
        ({"past__ax": [1] * 5, "past__mode": [1] * 5}, "length", "past: expected 2 to 4 steps, found 5"),
        ({"past__ax": [1, None, 2]}, "number", "past.ax[1]: expected a finite number within float32, found null"),
        ({"past__ax": [1, 2, "3"]}, "number", 'past.ax[2]: expected a finite number within float32, found "3"'),
        ({"past__ax": [True, 2, 3]}, "number", "past.ax[0]: expected a finite number within float32, found true"),
        (
            {"past__ax": [1, 2, float("nan")]},
            "number",
            "past.ax[2]: expected a finite number within float32, found NaN",
        ),
        ({"past__ax": [1, float("-inf"), 2]}, "number", "found -Infinity"),
        ({"past__ax": [1, 2, 3.5e38]}, "number", "past.ax[2]: expected a finite number within float32, found 3.5e+38"),
        ({"past__ax": [1, -(10**400), 2]}, "number", "past.ax[1]"),
        (
            {"past__mode": ["walk", "run", "rest"]},
            "category",
            "past.mode[1]: expected one of the 3 categories the model was",
        ),
        ({"past__mode": ["walk", 1.0, "rest"]}, "category", "found 1.0"),
        ({"past__mode": ["walk", True, "rest"]}, "category", "found true"),
        ({"past__mode": ["walk", {}, "rest"]}, "category", "found an object of 0"),
        ({"past__mode": ["walk", "x" * 400, "rest"]}, "category", f'found "{"x" * 39}...'),
        ({"future": MISSING}, "missing", "future: expected an object of columns, found nothing"),
        ({"future": 1}, "columns", "future: expected an object of columns, found 1"),
        ({"future__holiday": MISSING}, "columns", "future.holiday: expected a list, found nothing"),
        ({"future__holiday": [1]}, "length", "future.holiday: expected exactly 2 steps, found 1"),
        ({"future__holiday": [1, None]}, "number", "future.holiday[1]"),
        (
            {"future__shift": ["day", True]},
            "category",
            "future.shift[1]: expected a string, an integer of 64 bits or null, found true",
        ),
        ({"static": MISSING}, "missing", "static: expected an object of columns, found nothing"),
        (
            {"static__weight": MISSING},
            "missing",
            "static.weight: expected a finite number within float32, found nothing",
        ),
        (
            {"static__weight": [71]},
            "number",
            "static.weight: expected a finite number within float32, found a list of 1",
        ),
        ({"static__device": "ring"}, "category", "static.device: expected one of the 1 categories"),
    ],
)
def test_a_broken_field_is_named_with_what_was_expected_and_found(changes, reason, detail):
    found = only_reject(document(), document(**changes), document())
    assert found[0] == reason
    assert detail in found[1]
    among_valid = decode(document(), document(**changes), document()).windows
    assert encode_json(among_valid) == encode_json(decode(document(), document()).windows)


def test_a_record_of_exactly_the_largest_size_is_taken():
    text = json.dumps(document()).encode()
    assert len(decode(text + b" " * (LIMIT - len(text))).windows) == 1
    assert only_reject(text + b" " * (LIMIT - len(text) + 1))[0] == "too-large"


def test_nan_outside_the_columns_that_are_read_is_still_no_json():
    assert only_reject(document(note=float("nan")))[0] == "not-json"


def test_what_was_encoded_decodes_to_the_same_numbers_bit_for_bit():
    awkward = document(past__ax=[0.1 + 0.2, 5e-324, -0.0], end=-1, series__wearer="日本 \x00 'quoted\"")
    first = decode(awkward, document(past__ax=[1, 2], past__mode=[1, 1]), document()).windows
    values = encode_json(first)
    again = decode(*values).windows
    assert encode_json(again) == values
    assert again.past["ax"].tobytes() == first.past["ax"].tobytes()
    assert again.end_us.tolist() == first.end_us.tolist()
    assert again.lengths.tolist() == [3, 2, 3]
    assert json.loads(values[0])["end"] == "1969-12-31T23:59:59.999999Z"
    assert again.series["wearer"].tolist() == first.series["wearer"].tolist()
    assert again.future["shift"].tolist() == first.future["shift"].tolist()


GAPPY = replace(CONTRACT, allows_gaps=True)


def test_a_missing_step_is_nan_or_none_in_every_column_and_is_written_as_null():
    gap = document(past={"ax": [0.5, None, 2.25], "mode": ["walk", None, "rest"]})
    decoded = decode(document(), gap, document(), contract=GAPPY)
    assert decoded.rejects == ()
    assert np.isnan(decoded.windows.past["ax"]).tolist() == [False] * 4 + [True] + [False] * 4
    assert decoded.windows.past["mode"][3:6].tolist() == ["walk", None, "rest"]
    again = json.loads(encode_json(decoded.windows)[1])["past"]
    assert again == {"ax": [0.5, None, 2.25], "mode": ["walk", None, "rest"]}


@pytest.mark.parametrize(
    ("past", "reason", "where"),
    [
        ({"ax": [None, 1, 2], "mode": [None, "walk", "rest"]}, "number", "past.ax[0]"),
        ({"ax": [0, 1, None], "mode": ["walk", "walk", None]}, "number", "past.ax[2]"),
        ({"ax": [0, None, 2], "mode": ["walk", "walk", "rest"]}, "number", "past.ax[1]"),
        ({"ax": [0, 1, 2], "mode": ["walk", None, "rest"]}, "category", "past.mode[1]"),
        ({"ax": [0, None, 1e39, 2], "mode": ["walk", None, "rest", "rest"]}, "number", "past.ax[2]"),
        ({"ax": [0, None, 1, 2], "mode": ["walk", None, "run", "rest"]}, "category", "past.mode[2]"),
    ],
)
def test_a_null_that_is_no_missing_step_is_refused_where_steps_may_be_missing(past, reason, where):
    decoded = decode(document(), document(past=past), contract=GAPPY)
    (reject,) = decoded.rejects
    assert (reject.record.offset, reject.reason) == (1, reason)
    assert reject.detail.startswith(f"{where}: expected")
    assert "or null in all columns of a step between the first and the last" in reject.detail
    assert decoded.windows.past["ax"].tolist() == [0.5, -1, 2.25]


def test_a_missing_step_is_refused_where_none_may_be():
    gap = document(past={"ax": [0.5, None, 2.25], "mode": ["walk", None, "rest"]})
    assert only_reject(gap) == ("number", "past.ax[1]: expected a finite number within float32, found null")
