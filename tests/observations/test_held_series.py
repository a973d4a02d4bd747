"""What is held of many series, in memory and in a file: found again, copied in batches, let go of, counted."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.observations.conftest import contract_of
from tests.observations.streaming import plan_of
from undertow.core.errors import Refused
from undertow.observations import held_rows, held_snapshot, open_rows
from undertow.observations.held_rows import HeldRows
from undertow.observations.held_snapshot import freeze, read_batches, thaw
from undertow.observations.open_rows import OpenRows, value_name
from undertow.observations.series_keys import keys_of
from undertow.observations.spec import WindowSpec
from undertow.observations.streamed import StreamedSeries

PLAN = plan_of(WindowSpec(every="1s", lateness="2s"), contract_of("flow", min_length=3, max_length=3))
SERIES = 200


@pytest.fixture(params=["memory", "file"])
def held_path(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "not" / "made"


def filled(held_path):
    """A stream that holds some cells of each series, some still open, of three partitions in turns."""
    chance, streamed = np.random.default_rng(1), StreamedSeries(PLAN, held_path=held_path)
    partition = np.arange(SERIES) % 3
    names = np.array([f"s{number}" for number in range(SERIES)], object)
    places = np.concatenate(
        [
            streamed.held.add(keys_of({"site": names[s : s + 7]}, partition[s : s + 7]), partition[s : s + 7])
            for s in range(0, SERIES, 7)
        ]
    )
    for _ in range(4):
        counts = chance.integers(0, 3, SERIES)
        index = np.arange(counts.sum())
        streamed.held.append(places, counts, index, {"flow": chance.normal(size=len(index))})
    streamed.held.newest_us[places] = np.arange(SERIES)
    rows = chance.integers(0, SERIES, 3 * SERIES)
    usual = {name: np.arange(len(rows)) for name in streamed.open.names}
    streamed.open.add({**usual, "place": rows})
    assert streamed.open.series == len(np.unique(rows))
    return streamed


def told(streamed, partition):
    """All that is held of a partition, by key."""
    held = streamed.held
    found = {}
    for place in np.flatnonzero(held.partition[: len(held)] == partition).tolist():
        _, cells = held.held_cells(np.array([place]))
        rows = streamed.open.of(np.array([place]))
        found[tuple(held.keys[place].tolist())] = (
            int(held.newest_us[place]),
            cells.index.tolist(),
            cells.values["flow"].tolist(),
            sorted(zip(rows["time_us"].tolist(), rows[value_name("flow")].tolist(), strict=True)),
        )
    return found


def test_a_snapshot_in_several_batches_holds_all_that_was_held(held_path, monkeypatch):
    monkeypatch.setattr(held_snapshot, "AT_ONCE", 16)
    streamed = filled(held_path)
    content = freeze(streamed, 1).to_bytes({})
    assert len([*read_batches(content)]) > 3
    other = StreamedSeries(PLAN, held_path=held_path)
    assert thaw(other, 1, bytes(content)) == other.held.of_partitions[1] == 67
    assert told(other, 1) == told(streamed, 1)


def test_a_copy_does_not_change_with_what_it_was_made_of(held_path):
    streamed = filled(held_path)
    frozen, before = freeze(streamed, 2), told(streamed, 2)
    streamed.held.append(np.arange(SERIES), np.ones(SERIES, np.int64), np.arange(SERIES), {"flow": np.ones(SERIES)})
    streamed.drop([0])
    other = StreamedSeries(PLAN)
    thaw(other, 2, bytes(frozen.to_bytes({})))
    assert told(other, 2) == before


def test_a_partition_without_series_has_a_snapshot_too(held_path):
    streamed = filled(held_path)
    assert thaw(streamed, 9, bytes(freeze(streamed, 9).to_bytes({}))) == 0


def test_series_that_stay_are_as_they_were_when_others_are_let_go_of(held_path, monkeypatch):
    monkeypatch.setattr(held_rows, "MOVED_AT_ONCE", 5)
    streamed = filled(held_path)
    before = [told(streamed, partition) for partition in (1, 2)]
    streamed.drop([0])
    assert [told(streamed, partition) for partition in (0, 1, 2)] == [{}, *before]
    assert streamed.held.of_partitions == {1: 67, 2: 66}
    streamed.drop([1])
    streamed.drop([2])
    assert (len(streamed.held), len(streamed.open)) == (0, 0)


def test_what_lies_in_a_file_is_no_memory_and_leaves_no_name(tmp_path):
    in_memory, in_file = filled(None), filled(tmp_path / "held")
    assert in_file.file_bytes == SERIES * 2 * 2 * 8
    assert in_memory.file_bytes == 0
    assert in_memory.nbytes - in_file.nbytes == in_file.file_bytes
    assert [*(tmp_path / "held").iterdir()] == []


def test_a_disk_without_place_is_told_before_the_kernel_kills(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Refused, match=r"expected 512 bytes for what is held .* \(windows.held_path\), found: No space"):
        HeldRows(1, tmp_path).resize(64)


def test_series_are_let_go_of_on_a_disk_that_has_become_full(tmp_path, monkeypatch):
    def full(_file, _offset, size):
        if size > streamed.held.row_bytes // len(streamed.held) * room:
            raise OSError(28, "No space left on device")

    streamed = filled(tmp_path)
    room = len(streamed.held.newest_us)
    monkeypatch.setattr(os, "posix_fallocate", full)
    before = told(streamed, 2)
    streamed.drop([9])
    streamed.forget(streamed.held.keys[streamed.held.partition[: len(streamed.held)] == 1][:1])
    assert (len(streamed.held), told(streamed, 2)) == (SERIES - 1, before)


@given(
    length=st.integers(1, 6_000),
    share=st.floats(0.001, 1.0),
    begins=st.floats(0.0, 1.0),
    seed=st.integers(0, 9),
    pieces=st.sampled_from([1, 700, 1 << 13]),
)
@settings(max_examples=40)
def test_rows_of_a_file_are_those_of_an_array_however_they_are_read(length, share, begins, seed, pieces):
    chance = np.random.default_rng(seed)
    numbers = chance.normal(size=(length, 3))
    places = np.flatnonzero(chance.random(length) < share)
    places = places[places >= begins * length * 0.5]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_rows, "READ_AT_ONCE", pieces)
        patch.setattr(held_rows, "MOVED_AT_ONCE", 2 * pieces)
        rows = HeldRows(3, Path(folder))
        rows.resize(length)
        rows.numbers[:] = numbers.reshape(-1)
        shuffled = chance.permutation(places)
        assert np.array_equal(rows.copy(shuffled).reshape(-1, 3), numbers[shuffled])
        rows.keep(places)
        assert np.array_equal(rows.numbers.reshape(-1, 3)[: len(places)], numbers[places])


@pytest.mark.parametrize("longest", [1, 3, 64])
def test_only_the_rows_of_series_that_are_named_are_looked_at_and_places_are_given_again(longest, monkeypatch):
    monkeypatch.setattr(open_rows, "_LONG_CHAIN", longest)
    chance = np.random.default_rng(2)
    rows, kept = OpenRows(()), []
    newest = np.full(30, -1)
    for turn in range(200):
        places = np.unique(chance.integers(0, 30, 4))
        new = np.repeat(places, chance.integers(0, 4, len(places)))
        due = turn + chance.integers(0, 6, len(new))
        rows.add({name: due if name == "due_us" else new for name in rows.names})
        kept += zip(new.tolist(), due.tolist(), strict=True)
        newest[places] = turn
        taken = rows.take_closed(places, newest)
        closed = sorted(one for one in kept if one[0] in places and one[1] <= turn)
        assert sorted(zip(taken["place"].tolist(), taken["due_us"].tolist(), strict=True)) == closed
        kept = [one for one in kept if one not in closed]
        assert len(rows) == len(kept)
    left = rows.of(np.arange(30))
    assert sorted(zip(left["place"].tolist(), left["due_us"].tolist(), strict=True)) == sorted(kept)
    assert len(rows._next) <= 1024
