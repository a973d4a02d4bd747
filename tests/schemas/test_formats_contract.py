"""What every wire format must do alike: the same windows, the same refusals, never an exception."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from undertow.schemas.json_codec import encode_json
from undertow.schemas.records import REASONS

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from formats import CONTRACT, FORMATS, LIMIT, documents

GAPPY = replace(CONTRACT, allows_gaps=True)
JSON = FORMATS[0]
MISSING = object()

anyhow = pytest.mark.parametrize("form", FORMATS, ids=str)
binary = pytest.mark.parametrize("form", FORMATS[1:], ids=str)


def changed(**changes: object) -> dict:
    document = copy.deepcopy(documents()[1])
    for path, value in changes.items():
        *above, name = path.split("__")
        inside = document
        for step in above:
            inside = inside[step]
        if value is MISSING:
            del inside[name]
        else:
            inside[name] = value
    return document


def plain(windows) -> list[bytes]:
    """Windows as JSON, which tells every bit and every type of them."""
    return encode_json(windows)


@anyhow
def test_windows_arrive_as_they_do_in_json(form):
    expected = JSON.read([JSON.write(document) for document in documents()])
    found = form.read([form.write(document) for document in documents()])
    assert found.rejects == ()
    assert plain(found.windows) == plain(expected.windows)
    assert found.record_of.tolist() == [0, 1, 2]
    for part in ("series", "past", "future", "static"):
        for name, column in getattr(expected.windows, part).items():
            assert getattr(found.windows, part)[name].dtype == column.dtype


@anyhow
def test_what_a_format_encodes_it_decodes_bit_for_bit(form):
    awkward = changed(past__ax=[5e-324, -0.0, 0.1 + 0.2], series__wearer="日本 \x00 'quoted\"", end=-1)
    windows = JSON.read([JSON.write(awkward), *(JSON.write(document) for document in documents())]).windows
    again = form.read(form.encode(windows)).windows
    assert plain(again) == plain(windows)
    assert again.past["ax"].tobytes() == windows.past["ax"].tobytes()


@anyhow
def test_missing_steps_are_null_in_every_format(form):
    gap = changed(past={"ax": [0.5, None, 2.25], "mode": ["walk", None, "rest"]})
    windows = form.read([form.write(gap)], GAPPY).windows
    assert np.isnan(windows.past["ax"]).tolist() == [False, True, False]
    assert windows.past["mode"].tolist() == ["walk", None, "rest"]
    assert plain(form.read(form.encode(windows), GAPPY).windows) == plain(windows)
    assert [reject.reason for reject in form.read([form.write(gap)]).rejects] == ["number"]


@anyhow
def test_a_null_category_is_taken_in_every_format_where_the_model_has_a_class_for_it(form):
    """It travels as None, which no encoder of categories has a code for but the unknown one's."""
    open_to_all = replace(
        CONTRACT,
        past=(CONTRACT.past[0], replace(CONTRACT.past[1], accepts_unknown=True)),
        static=(CONTRACT.static[0], replace(CONTRACT.static[1], accepts_unknown=True)),
    )
    nulls = {"past__mode": ["walk", None, None], "future__shift": [None, "day"], "static__device": None}
    some, all_of_it = changed(**nulls), changed(**nulls | {"past__mode": [None] * 3, "future__shift": [None] * 2})
    for contract in (open_to_all, replace(open_to_all, allows_gaps=True)):
        read = form.read([form.write(some), form.write(all_of_it)], contract)
        assert read.rejects == ()
        assert read.windows.past["mode"].tolist() == ["walk", None, None, None, None, None]
        assert read.windows.future["shift"].tolist() == [[None, "day"], [None, None]]
        assert read.windows.static["device"].tolist() == [None, None]
        assert plain(form.read(form.encode(read.windows), contract).windows) == plain(read.windows)
    left_out = form.read([form.write(changed(static=None))], open_to_all)
    assert len(left_out.rejects) == 1


@anyhow
def test_a_step_without_numbers_is_missing_and_one_without_a_category_is_not(form):
    contract = replace(GAPPY, past=(GAPPY.past[0], replace(GAPPY.past[1], accepts_unknown=True)))
    gap = changed(past={"ax": [0.5, None, 2.25], "mode": ["walk", None, None]})
    half = changed(past={"ax": [0.5, None, 2.25], "mode": ["walk", "rest", None]})
    read = form.read([form.write(gap), form.write(half)], contract)
    assert np.isnan(read.windows.past["ax"]).tolist() == [False, True, False]
    assert read.windows.past["mode"].tolist() == ["walk", None, None]
    assert [reject.reason for reject in read.rejects] == ["number"]


FAULTS = {
    "an empty id": {"series__wearer": ""},
    "a long id": {"series__wearer": "é" * 513},
    "no id": {"series__limb": MISSING},
    "a time before all": {"end": -(2**62)},
    "a time after all": {"end": 2**62},
    "no future": {"future": MISSING},
    "no static": {"static": MISSING},
    "no past column": {"past__ax": MISSING},
    "no future column": {"future__holiday": MISSING},
    "no static column": {"static__weight": MISSING},
    "unequal lengths": {"past__mode": ["walk"]},
    "too short": {"past__ax": [1.0], "past__mode": ["walk"]},
    "too long": {"past__ax": [1.0] * 5, "past__mode": ["walk"] * 5},
    "a null number": {"past__ax": [1.0, None, 2.0]},
    "no number": {"past__ax": [1.0, float("nan"), 2.0]},
    "no end of numbers": {"past__ax": [1.0, float("-inf"), 2.0]},
    "beyond float32": {"past__ax": [1.0, 2.0, 3.5e38]},
    "an unknown category": {"past__mode": ["walk", "run", "rest"]},
    "a null category": {"past__mode": ["walk", None, "rest"]},
    "a short future": {"future__holiday": [1.0]},
    "a null in the future": {"future__holiday": [1.0, None]},
    "a null name that is none of training's": {"static__device": None},
    "a null name in the past": {"past__mode": ["walk", None, "rest"]},
    "an infinite static": {"static__weight": float("inf")},
    "an unknown static": {"static__device": "ring"},
}


@binary
@pytest.mark.parametrize("changes", FAULTS.values(), ids=FAULTS)
def test_a_fault_has_the_reason_and_the_detail_that_json_gives(form, changes):
    good, bad = documents()[0], changed(**changes)
    (expected,) = JSON.read([JSON.write(good), JSON.write(bad), JSON.write(good)]).rejects
    decoded = form.read([form.write(good), form.write(bad), form.write(good)])
    (found,) = decoded.rejects
    assert found.reason == expected.reason
    assert found.record.offset == 1
    assert expected.detail.split(":")[0] in found.detail
    assert decoded.record_of.tolist() == [0, 2]


@anyhow
def test_no_value_and_too_large_a_value_are_refused_undecoded(form):
    good = form.write(documents()[0])
    assert len(form.read([good], limit=len(good)).windows) == 1
    decoded = form.read([None, b"", good, b"\0" * (LIMIT + 1)])
    assert [(reject.record.offset, reject.reason) for reject in decoded.rejects] == [
        (0, "empty"),
        (1, "empty"),
        (3, "too-large"),
    ]
    assert decoded.record_of.tolist() == [2]


@anyhow
def test_every_other_format_is_refused_in_one_line(form):
    values = [other.write(documents()[0]) for other in FORMATS if other.name[:4] != form.name[:4]]
    for reject in form.read([*values, b"\0", b"\xff" * 50, b"ARROW1"]).rejects:
        assert reject.reason in REASONS
        assert "\n" not in reject.detail
    assert len(form.read(values).rejects) == len(values)


@anyhow
def test_a_value_cut_short_anywhere_is_refused(form):
    whole = form.write(documents()[1])
    cut = [whole[:length] for length in range(len(whole) - 8)]
    decoded = form.read(cut, limit=len(whole))
    assert len(decoded.windows) == 0
    assert len(decoded.rejects) == len(cut)


@anyhow
def test_columns_that_the_contract_does_not_name_are_counted(form):
    fewer = replace(CONTRACT, past=CONTRACT.past[:1], static=(), future=())
    decoded = form.read([form.write(document) for document in documents()], fewer)
    assert decoded.rejects == ()
    assert len(decoded.windows) == 3
    assert decoded.ignored_columns >= 3
