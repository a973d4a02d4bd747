"""A snapshot without some series is what a stream that never saw them would have written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of
from tests.observations.streaming import Streamed
from tests.observations.test_meaning import KINDS
from undertow.core.errors import Refused
from undertow.observations.held_forgetting import has_any, without
from undertow.observations.held_snapshot import freeze, read_about, thaw
from undertow.observations.series_keys import keys_of
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column

CONTRACT = contract_of("flow", Column(name="mode", categories=("x", "y"), accepts_unknown=True), max_length=3)
SPEC = WindowSpec(every="10us", lateness="10us")
SITES = ("a", "b", "c")
ROWS = st.tuples(st.sampled_from(SITES), st.sampled_from(["x", "y", "anna", "bert", None]))


def keys(*sites):
    return keys_of({"site": np.array(sites, object)}, [0] * len(sites))


def fed(rows):
    stream = Streamed(SPEC, CONTRACT, KINDS)
    for step, (site, mode) in enumerate(rows):
        stream.feed([[{"site": site, TIME: step * 10, "flow": float(step), "mode": mode}]])
    return stream


def told(stream):
    """What comes of all that is held, when something of each series is seen much later."""
    stream.found.clear()
    for site in SITES:
        stream.feed([[{"site": site, TIME: 1_000, "flow": 1.0, "mode": "x"}]])
    return sorted(repr(window) for _, window in stream.found)


@settings(max_examples=40)  # each row is a poll
@given(st.lists(ROWS, max_size=8), st.sets(st.sampled_from(SITES), max_size=2))
def test_what_is_left_is_what_was_held_of_the_others_and_no_category_of_the_forgotten_alone(rows, gone):
    content = bytes(freeze(fed(rows).series, 0).to_bytes({"next": 7}))
    left = without(content, keys(*sorted(gone)))
    there = {site for site, _ in rows} & gone
    assert has_any(content, keys(*sorted(gone))) == bool(there) == (left is not None)
    if left is None:
        return
    about = read_about(left)
    assert about["next"] == 7
    assert set(about["names"]["mode"]) <= {mode for site, mode in rows if site not in gone}
    assert not has_any(bytes(left), keys(*sorted(gone)))
    again, never = fed([]), fed([])
    thaw(again.series, 0, left)
    for step, (site, mode) in enumerate(rows):
        if site not in gone:
            never.feed([[{"site": site, TIME: step * 10, "flow": float(step), "mode": mode}]])
    assert len(again.series.held) == len(never.series.held)
    assert told(again) == told(never)


def test_a_damaged_one_is_refused():
    content = bytearray(freeze(fed([("a", "x")]).series, 0).to_bytes({}))
    content[100] ^= 1
    with pytest.raises(Refused, match="they are damaged"):
        without(bytes(content), keys("a"))


def test_a_partition_s_snapshot_has_no_category_of_another_partition():
    stream = Streamed(SPEC, CONTRACT, KINDS)
    for partition, mode in enumerate(["anna", "x", "bert"]):
        for step in range(3):
            rows = [{"site": "a", TIME: step * 10, "flow": 1.0, "mode": mode}]
            stream.feed([rows], partition=partition)
    for partition, mode in enumerate(["anna", "x", "bert"]):
        content = freeze(stream.series, partition).to_bytes({})
        assert read_about(content)["names"]["mode"] == [mode]
        again = Streamed(SPEC, CONTRACT, KINDS)
        thaw(again.series, partition, content)
        again.feed([[{"site": "a", TIME: 1_000, "flow": 1.0, "mode": mode}]], partition=partition)
        assert mode in repr(again.found)
