"""The demonstration's data: windows are those that a loop over recordings would cut, each with its own label."""

import io
import pickle
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from undertow.core.errors import Refused
from undertow.demo import watch
from undertow.demo.watch import (
    CHANNELS,
    EVERY,
    EXERCISES,
    STEPS,
    STRIDE,
    halve_rate,
    label,
    load_recordings,
    observations,
    readings,
    split,
)
from undertow.observations.spec import WindowSpec
from undertow.schemas.contract import Column, IdColumn, InputContract

CONTRACT = InputContract(
    series=(IdColumn(name="wearer", type="string"), IdColumn(name="side", type="string")),
    past=tuple(Column(name=channel) for channel in CHANNELS),
    min_length=STEPS,
    max_length=STEPS,
)


@pytest.fixture(scope="module")
def recordings():
    return load_recordings()


def test_every_arm_does_each_exercise_once_one_after_another(recordings):
    table = pd.DataFrame([(r.wearer, r.side, r.exercise, r.start_us, len(r.steps)) for r in recordings])
    table.columns = ["wearer", "side", "exercise", "start", "steps"]
    assert table["wearer"].nunique() == 10
    assert set(table["exercise"]) == set(EXERCISES.values())
    assert not table.duplicated(["wearer", "side", "exercise"]).any()
    for _, arm in table.sort_values("start").groupby(["wearer", "side"]):
        ends = arm["start"] + arm["steps"] * 40_000
        assert (arm["start"].to_numpy()[1:] > ends.to_numpy()[:-1]).all()


def test_the_wearers_that_come_live_are_in_nothing_that_is_learnt_from(recordings):
    known, unseen = split(recordings)
    assert {r.wearer for r in unseen} == {"s08", "s09", "s10"}
    assert {r.wearer for r in known}.isdisjoint({r.wearer for r in unseen})
    assert len(known) + len(unseen) == len(recordings)


def test_windows_and_labels_are_those_of_a_loop_over_the_recordings(recordings):
    some = recordings[::17]
    expected = {}
    for r in some:
        for end in range(STEPS, len(r.steps) + 1):
            end_us = r.start_us + (end - 1) * 40_000
            if end_us // 40_000 % STRIDE == 0:
                expected[r.wearer, r.side, end_us] = (r.exercise, r.steps[end - STEPS : end])
    labelled = label(some, CONTRACT, WindowSpec(every=EVERY, stride=STRIDE))
    assert len(labelled.windows) == len(expected) > 500
    rows = zip(labelled.labels.itertuples(index=False), observations(labelled.windows), strict=True)
    for named, steps in rows:
        at_us = (named.event_timestamp.to_pydatetime() - datetime(1970, 1, 1, tzinfo=UTC)) // pd.Timedelta("1us")
        exercise, window = expected[named.wearer, named.side, int(at_us)]
        assert named.exercise == exercise
        np.testing.assert_array_equal(steps, window)
    assert labelled.labels["event_timestamp"].is_monotonic_increasing


def test_readings_come_in_order_of_time_each_step_of_each_recording_once(recordings):
    rows = readings(recordings[:9])
    assert rows["event_timestamp"].is_monotonic_increasing
    assert len(rows) == sum(len(r.steps) for r in recordings[:9])
    assert not rows.duplicated(["wearer", "side", "event_timestamp"]).any()


def test_halving_the_rate_takes_the_mean_of_two_steps_and_drops_an_odd_last_one():
    steps = np.arange(7 * len(CHANNELS), dtype=float).reshape(7, -1)
    np.testing.assert_array_equal(halve_rate(steps), [steps[0:2].mean(0), steps[2:4].mean(0), steps[4:6].mean(0)])


def test_the_data_set_may_name_nothing_that_could_run():
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.write(pickle.dumps(pytest.fail))
    file.seek(0)
    with pytest.raises(Refused, match=r"should hold plain arrays, but names _pytest.outcomes"):
        watch._load_object(file)
