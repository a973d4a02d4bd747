"""A counter is typed once: what is a field of `Counts` adds up, travels and is shown, in JSON and in the metrics."""

import ast
import inspect
import pickle
from dataclasses import FrozenInstanceError, fields
from functools import reduce

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.fleet import stream_runner
from undertow.fleet.artifact_status import ArtifactStatus, fields_of, together
from undertow.fleet.metrics import OF_FLEET, fleet_readings, replica_readings
from undertow.fleet.status import FleetStatus, ReplicaStatus
from undertow.fleet.summary import Summary
from undertow.stream import loop, store_watch
from undertow.stream.counts import Accumulator, Counts, batch_of

NAMES = [one.name for one in fields(Counts)]
WITHOUT_METRIC = {
    "last_reject": "it is a place and no number",
    "ignored_columns": "it says nothing of a stream's health, and rises with each record of a producer that sends more",
    "offsets": "it is what autoscaling compares with the lag; `records` is what people ask for",
}
MAPPINGS = {"rejects": {"number": 3}, "last_reject": {"number": "windows-0@7"}, "batches": {8: 3}}
"""Of the fields that are neither numbers nor a histogram."""


def three(name):
    """Return a value of 3 for this counter."""
    zero = getattr(Counts(), name)
    if isinstance(zero, np.ndarray):
        return np.where(np.arange(len(zero)) == 7, 3, 0)
    return MAPPINGS[name] if name in MAPPINGS else type(zero)(3)


def only(name):
    return Counts(**{name: three(name)})


def plain(counts):
    values = {name: getattr(counts, name) for name in NAMES}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def fleet_of(*parts):
    """Return the status of a fleet of one living and one buried replica, both with these artifacts."""
    both = [
        ReplicaStatus(name=f"replica-{number}", state="running", artifacts=parts, **fields_of(together(parts)))
        for number in (0, 1)
    ]
    summary = Summary()
    summary.bury(both[1])
    return FleetStatus(
        name="f",
        state="running",
        replicas=(both[0],),
        wanted=1,
        partitions=1,
        failovers=1,
        counts=summary.counts(both[:1]),
        artifacts=summary.artifacts(both[:1]),
    )


def shown(counts):
    """Return the JSON of a fleet whose one artifact counted this, and all values that its replica exports."""
    status = fleet_of(ArtifactStatus(artifact="pumps__00000000", counts=counts))
    document = orjson.loads(orjson.dumps(status.to_json()))
    whole = {key: value for key, value in document.items() if key not in {"artifacts", "replicas", "events"}}
    readings = [*replica_readings("f", status.replicas[0], 100.0), *fleet_readings(status)]
    return whole, document["artifacts"], [(one.name, one.labels, one.value) for one in readings]


@pytest.mark.parametrize("name", NAMES)
def test_each_counter_is_in_the_json_of_the_fleet_and_of_the_artifact_and_in_the_metrics(name):
    nothing, something = shown(Counts()), shown(only(name))
    assert something[0] != nothing[0]
    assert something[1] != nothing[1]
    changed = {after[0] for before, after in zip(nothing[2], something[2], strict=True) if before != after}
    assert bool(changed) == (name not in WITHOUT_METRIC)
    assert any(metric.startswith("undertow_fleet_") for metric in changed) == (name in OF_FLEET)


@pytest.mark.parametrize("name", NAMES)
def test_each_counter_is_summed_over_artifacts_the_living_and_the_buried(name):
    part = ArtifactStatus(artifact="a__0", counts=only(name))
    status = fleet_of(part, ArtifactStatus(artifact="b__1", counts=only(name)))
    assert plain(status.counts) == plain(reduce(lambda one, other: one + other, [only(name)] * 4))
    assert plain(status.artifacts[0].counts) == plain(only(name) + only(name))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_added_piece_by_piece_is_the_sum_and_a_total_does_not_change_any_more(name):
    sums = Accumulator()
    sums.add(**{name: three(name)})
    before = sums.total()
    seen = pickle.dumps(before)
    sums.add(**{name: three(name)})
    assert plain(sums.total()) == plain(only(name) + only(name))
    assert pickle.dumps(before) == seen
    with pytest.raises(FrozenInstanceError):
        setattr(before, name, three(name))


COUNTS = st.builds(
    Counts,
    windows=st.integers(0, 9),
    embed_s=st.integers(0, 9).map(float),
    rejects=st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
    last_reject=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
)


@given(COUNTS, COUNTS, COUNTS)
def test_counts_add_up_in_any_grouping_and_zero_adds_nothing(one, two, three):
    assert plain((one + two) + three) == plain(one + (two + three))
    assert plain(one + Counts()) == plain(Counts() + one) == plain(one)


def test_a_name_that_is_no_counter_is_an_error():
    with pytest.raises(KeyError, match="windwos"):
        Accumulator().add(windwos=1)  # type: ignore[call-arg]


def test_every_counter_is_counted_somewhere_and_a_status_lists_none_of_them_again():
    calls = [
        node
        for module in (loop, store_watch)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call)
    ]
    assert {keyword.arg for call in calls for keyword in call.keywords} >= set(NAMES)
    for status in (ArtifactStatus, ReplicaStatus, FleetStatus):
        assert not {one.name for one in fields(status)} & set(NAMES)
    assert not any(f"{name}=" in inspect.getsource(stream_runner) for name in NAMES)


@pytest.mark.parametrize(("windows", "size"), [(0, 1), (1, 1), (2, 2), (3, 4), (256, 256), (257, 512)])
def test_a_delivery_is_counted_by_the_smallest_power_of_two_that_holds_it(windows, size):
    assert batch_of(windows) == {size: 1}
