"""A stream makes the windows that a frame of the same observations has, each once, as soon as its cells are closed."""

import random
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made, plainly, table_of
from tests.observations.streaming import Streamed, plain_stream, text
from tests.observations.test_meaning import KINDS, as_given, cases
from undertow.observations.spec import WindowSpec


@st.composite
def streams(draw):
    """Draw observations in records, mostly in order of time, and where polls and restarts are."""
    rows, spec, contract = draw(cases())
    lateness = draw(st.sampled_from([0, 0, 1, spec.every_us, 2 * spec.every_us + 1, 40]))
    spec = WindowSpec(**as_given(spec) | {"lateness": f"{lateness}us" if lateness else "0"})
    rows = [row for row in rows if row[TIME] is not None]
    jitter = draw(st.sampled_from([0, 0, spec.every_us, 3 * spec.every_us]))
    chance = random.Random(draw(st.integers(0, 99)))
    rows.sort(key=lambda row: row[TIME] + (chance.randint(0, jitter) if jitter else 0))
    records = []
    while rows:
        size = draw(st.sampled_from([1, 1, 1, 2, 5]))
        records.append(rows[:size])
        rows = rows[size:]
    return records, spec, contract, draw(st.lists(st.integers(1, 9), max_size=12)), draw(st.integers(0, 3))


IN_FILES = Path(tempfile.gettempdir())


def run(records, spec, contract, polls, restart, *, held_path=None):
    """Feed records in portions of these sizes, the rest at once, and restart after each so-many-th portion."""
    stream, rest = Streamed(spec, contract, KINDS, held_path=held_path), list(records)
    for number, size in enumerate([*polls, len(rest)]):
        stream.feed(rest[:size])
        rest = rest[size:]
        if restart and number % restart == 0:
            stream.restart()
    return stream


@given(streams(), st.sampled_from([None, IN_FILES]))
def test_windows_are_those_of_a_frame_of_what_is_closed_and_each_is_made_by_the_record_that_closed_it(case, held_path):
    records, spec, contract, polls, restart = case
    stream = run(records, spec, contract, polls, restart, held_path=held_path)
    expected, late, everything = plain_stream(records, spec, contract, KINDS)
    found = [(offset, text(window)) for offset, window in stream.found]
    assert sorted(found) == sorted((offset, text(window)) for offset, window in expected)
    assert [offset for offset, _ in stream.found] == sorted(offset for offset, _ in stream.found)
    assert sorted(offset for offset, reason in stream.refused if reason == "late") == late
    _is_a_beginning([window for _, window in stream.found], everything)


def _is_a_beginning(windows, frame):
    """Of each series, the windows are the first ones that the frame of all observations has."""
    for ids in {window[0] for window in frame} | {window[0] for window in windows}:
        mine = sorted((window for window in windows if window[0] == ids), key=lambda window: window[1])
        whole = [window for window in frame if window[0] == ids]
        assert [text(one) for one in mine] == [text(one) for one in whole[: len(mine)]]


@given(streams(), st.lists(st.integers(1, 9), max_size=12))
def test_polls_and_restarts_change_nothing(case, others):
    records, spec, contract, polls, restart = case
    one, other = run(records, spec, contract, polls, restart), run(records, spec, contract, others, 0)
    assert [(offset, text(window)) for offset, window in one.found] == [
        (offset, text(window)) for offset, window in other.found
    ]
    assert sorted(one.refused) == sorted(other.refused)


@given(streams())
def test_what_is_read_once_more_is_not_made_again(case):
    records, spec, contract, polls, restart = case
    whole = run(records, spec, contract, polls, restart)
    again = Streamed(spec, contract, KINDS)
    half = len(records) // 2
    again.feed(records[:half], emits=False)
    assert again.found == []
    again.feed(records[half:])
    assert [(offset, text(window)) for offset, window in again.found] == [
        (offset, text(window)) for offset, window in whole.found if offset >= half
    ]


@given(st.integers(0, 1 << 32))
def test_a_long_stream_needs_no_more_than_what_is_held_of_it(seed):
    chance = random.Random(seed)  # long rows of holes matter: drawn piece by piece they would be short
    fills = ["forward", 0.25, "none", "null"]
    spec = WindowSpec(
        every="10us",
        fill={"flow": chance.choice(fills), "head": chance.choice(fills)},
        max_gap=chance.randint(1, 4),
        on=chance.choice(["observation", "grid"]),
        stride=chance.choice([1, 1, 3]),
    )
    contract = contract_of("flow", "head", max_length=chance.randint(1, 4), allows_gaps=True)
    few = chance.random()
    rows = [
        {"site": "a", TIME: step * 10, "flow": step + 0.5 if chance.random() < few else None, "head": float(step)}
        for step in range(60)
        if chance.random() < 0.8
    ]
    stream = Streamed(spec, contract, KINDS)
    for row in rows:
        stream.feed([[row]])
        if chance.random() < 0.1:
            stream.restart()
    frame = plainly(made(table_of(rows, KINDS), contract, spec))
    assert [text(window) for _, window in stream.found] == [text(window) for window in frame]


def test_a_window_comes_with_the_observation_that_completes_it_where_nothing_may_be_late():
    stream = Streamed(WindowSpec(every="10us"), contract_of("flow", min_length=2), KINDS)
    for step in range(4):
        stream.feed([[{"site": "a", TIME: step * 10, "flow": float(step)}]])
    assert [(offset, window[1]) for offset, window in stream.found] == [(1, 10), (2, 20), (3, 30)]


def test_a_series_that_two_partitions_have_is_told_of():
    stream = Streamed(WindowSpec(every="10us"), contract_of("flow"), KINDS)
    stream.feed([[{"site": "a", TIME: 0, "flow": 1.0}]])
    taken = stream.feed([[{"site": "a", TIME: 0, "flow": 1.0}]], partition=3)
    assert taken.astray == "site=a in partition 3 and in 0"
    assert stream.feed([[{"site": "b", TIME: 0, "flow": 1.0}]], partition=3).astray == ""
