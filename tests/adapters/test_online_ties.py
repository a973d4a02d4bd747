"""Of rows of one series and event time the one delivered last is online, whoever writes first, in every store."""

import pytest

from tests.adapters.online_stores import JUNE, MINUTE, STRICT, batch, number


def test_of_equal_times_the_one_delivered_later_wins(store):
    sink = store.sink()
    assert [sink.write(batch(("s08", JUNE, n, n))) for n in (1, 2)] == [1, 1]
    assert number(store, "s08") == 2


@pytest.mark.parametrize("store", STRICT, indirect=True)
@pytest.mark.parametrize("later", [2, 256, 2**31, 2**32, 2**53 + 1, 2**62 - JUNE])
def test_what_was_delivered_earlier_never_replaces_an_equal_time_to_the_microsecond(store, later):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1, later)))
    assert [sink.write(batch(("s08", JUNE, 2, at))) for at in (0, later - 1, later)] == [0, 0, 0]
    assert number(store, "s08") == 1
    assert (sink.write(batch(("s08", JUNE, 3, later + 1))), number(store, "s08")) == (1, 3)


def test_a_newer_time_wins_however_early_it_was_delivered(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1, 9)))
    assert sink.write(batch(("s08", JUNE + 1, 2, -9))) == 1
    assert sink.write(batch(("s08", JUNE, 3, 99))) == 0
    assert number(store, "s08") == 2


@pytest.mark.parametrize("store", ["feast"], indirect=True)
def test_a_store_that_cannot_tell_takes_an_equal_time_that_comes_now_but_nothing_twice(store):
    sink = store.sink()
    gate_only = batch(("s08", JUNE, 1))
    gate_only.features["gate"][:] = 5
    assert [sink.write(rows) for rows in (batch(("s08", JUNE, 1)), gate_only, gate_only)] == [1, 1, 0]
    assert store.read("s08", feature="gate")[1] == [5]


@pytest.mark.parametrize("store", ["redis", "sqlite", "postgres"], indirect=True)
def test_a_row_of_the_same_time_that_feast_itself_has_written_comes_before_ours(store):
    sink = store.sink()
    second = JUNE // 10**6 * 10**6
    sink.write(batch(("s08", second - MINUTE, 1, 10**6)))
    store.write_by_feast("s08", second, 2)
    assert (sink.write(batch(("s08", second, 3))), number(store, "s08")) == (1, 3)
    assert sink.write(batch(("s08", second, 4))) == 0
