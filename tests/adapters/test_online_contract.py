"""What every online sink promises, whichever store is behind it. What they wrote is read by Feast's own stores."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.adapters.online_stores import JUNE, MINUTE, batch, number

EXAMPLES = itertools.count()


def test_what_was_written_is_read_by_feast_as_the_same_floats_at_the_same_time(store):
    assert store.sink().write(batch(("s08", JUNE, 0.1))) == 1
    time, vector = store.read("s08")
    assert vector == batch(("s08", JUNE, 0.1)).features["hidden"][0].tolist()
    assert time == (JUNE // 10**6 * 10**6 if store.kind == "sqlite" else JUNE)


def test_a_series_that_was_never_written_is_missing(store):
    store.sink().write(batch(("s08", JUNE, 1)))
    assert store.read("s09") == (None, None)
    assert store.read("s08", session=8) == (None, None)


def test_writing_the_same_batch_again_writes_nothing(store):
    rows = batch(("s08", JUNE, 1), ("s09", JUNE, 2))
    assert store.sink().write(rows) == 2
    assert store.sink().write(rows) == 0


def test_an_empty_batch_writes_nothing(store):
    assert store.sink().write(batch()) == 0


def test_an_older_embedding_never_replaces_a_newer_one(store):
    sink = store.sink()
    assert [sink.write(batch(("s08", JUNE, 1))), sink.write(batch(("s08", JUNE - 1, 2)))] == [1, 0]
    assert number(store, "s08") == 1


def test_a_microsecond_makes_an_embedding_newer(store):
    sink = store.sink()
    assert [sink.write(batch(("s08", JUNE, 1))), sink.write(batch(("s08", JUNE + 1, 2)))] == [1, 1]
    assert number(store, "s08") == 2


def test_of_one_batch_the_newest_of_each_series_is_written_once_and_of_equal_times_the_last(store):
    rows = batch(
        ("s08", JUNE, 1),
        ("s08", JUNE + 9, 2, 7),
        ("s09", JUNE, 3),
        ("s08", JUNE + 5, 4, 9),
        ("s08", JUNE + 9, 5, 8),
        ("s08", JUNE + 9, 6, 1),
    )
    assert store.sink().write(rows) == 2
    assert (number(store, "s08"), number(store, "s09")) == (5, 3)


def test_a_batch_of_many_chunks_is_written_whole(store):
    rows = [(f"s{i}", JUNE, i) for i in range(200)]
    assert store.sink().write(batch(*rows)) == 200
    assert [number(store, f"s{i}") for i in (0, 63, 64, 127, 128, 199)] == [0, 63, 64, 127, 128, 199]


def test_a_closed_sink_may_be_closed_again(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    sink.close()
    sink.close()


@pytest.mark.parametrize("store", ["redis", "sqlite", "postgres", "feast"], indirect=True)
def test_a_store_that_answers_passes_the_check(store):
    store.sink().check()


@pytest.mark.parametrize("store", ["redis", "sqlite", "postgres", "feast"], indirect=True)
def test_after_feast_itself_has_written_an_older_row_over_ours_what_is_newer_than_that_row_is_taken(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    store.write_by_feast("s08", JUNE - MINUTE, 2)  # only Redis's own guard keeps it out
    sink.write(batch(("s08", JUNE - 2 * MINUTE, 3)))
    assert number(store, "s08") in {1, 2}
    for event_us, n in ((JUNE - 30_000_000, 4), (JUNE - 6_000_000, 5), (JUNE, 6)):
        sink.write(batch(("s08", event_us, n)))
    assert store.read("s08")[0] // 10**6 == JUNE // 10**6
    assert number(store, "s08") in {1, 6}
    assert [sink.write(batch(("s08", JUNE - 1, 7))), sink.write(batch(("s08", JUNE + 1, 8)))] == [0, 1]


@pytest.mark.parametrize("store", ["redis", "sqlite", "postgres", "feast"], indirect=True)
def test_a_newer_row_that_feast_itself_has_written_is_not_replaced_by_an_older_one(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    store.write_by_feast("s08", JUNE + MINUTE, 2)
    store.write_by_feast("s09", JUNE + MINUTE, 2)
    older = batch(*((name, JUNE + MINUTE - 2_000_000, 3) for name in ("s08", "s09")))
    assert (sink.write(older), number(store, "s08"), number(store, "s09")) == (0, 2, 2)
    newer = batch(*((name, JUNE + 2 * MINUTE, 4) for name in ("s08", "s09")))
    assert (sink.write(newer), number(store, "s08"), number(store, "s09")) == (2, 4, 4)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_row_of_the_same_second_that_feast_itself_has_written_voids_the_guard(store):
    sink = store.sink()
    sink.write(batch(("s08", JUNE, 1)))
    store.write_by_feast("s08", JUNE - 1, 2)
    assert (sink.write(batch(("s08", JUNE, 1))), number(store, "s08")) == (1, 1)


YEAR_1900, YEAR_9998 = -2_208_988_800_000_000, 253_370_764_800_000_000
TIMES = st.one_of(
    st.integers(YEAR_1900, YEAR_9998), st.integers(JUNE - 2, JUNE + 2), st.integers(-2, 2), st.just(-1_000_000)
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_newest_wins_whatever_the_order_and_the_calls(store, data):
    tag = next(EXAMPLES)  # examples share the store, not the series
    drawn = data.draw(st.lists(st.tuples(st.sampled_from("abc"), TIMES), min_size=1, max_size=12))
    created = range(len(drawn)) if store.kind == "feast" else data.draw(st.permutations(range(len(drawn))))
    rows = [(f"{tag}/{name}", time, i, created[i]) for i, (name, time) in enumerate(drawn)]
    expected = {}
    sinks = [store.sink(), store.sink()]
    while rows:
        size = data.draw(st.integers(1, len(rows)))
        sinks[data.draw(st.booleans())].write(batch(*rows[:size]))
        for name, time, i, at in rows[:size]:
            expected[name] = max(expected.get(name, (time, at, i)), (time, at, i))
        rows = rows[size:]
    assert {name: number(store, name) for name in expected} == {name: i for name, (*_, i) in expected.items()}


@pytest.mark.parametrize("store", ["redis", "sqlite", "postgres"], indirect=True)
def test_the_newest_wins_between_writers_at_the_same_instant(store):
    series = [f"s{i}" for i in range(150)]
    start = threading.Barrier(3)

    def hammer(writer):
        sink = store.sink()
        start.wait()
        for step in range(8):
            sink.write(batch(*((name, JUNE + (step * 7 + writer * 3) % 11 * 13 + writer, writer) for name in series)))
        sink.close()

    threads = [threading.Thread(target=hammer, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    newest = max((JUNE + (step * 7 + w * 3) % 11 * 13 + w, w) for step in range(8) for w in range(3))
    assert {number(store, name) for name in series} == {newest[1]}
