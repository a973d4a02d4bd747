"""Above a threshold an index gets a graph beside whoever asks, and is made anew when there is time for it."""

import sys
import threading

import numpy as np
import pytest

from tests.reader.conftest import JUNE, SIMPLE, await_indexes, ranked, turned
from undertow.adapters.feast_bytes import entity_keys, float_lists
from undertow.reader import nearest
from undertow.reader.graph import make_graph
from undertow.reader.series_index import SeriesIndexes, WantedIndex
from undertow.schemas.lookups import Answer
from undertow.schemas.served import ServedSpace

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_among_very_many_a_graph_gives_the_candidates_and_whatever_it_cannot_answer_all_vectors(
    world, open_reader, metric, monkeypatch
):
    gate = threading.Event()
    monkeypatch.setattr(nearest, "make_graph", lambda *given, **named: (gate.wait(60), make_graph(*given, **named))[1])
    rows = turned(90)
    world.write(SIMPLE, *rows)
    reader = open_reader(world.repo, name="ecg", exact_up_to=89)
    query = np.array([3.2, 3.3], np.float32)
    series, apart = ranked(rows, query, metric)
    found = reader.neighbours(query, 5, metric=metric)
    assert (found.exact, found.series) == (True, {"wearer": series[:5]})  # at once
    gate.set()
    await_indexes()
    found = reader.neighbours(query, 5, metric=metric)
    assert (found.exact, found.series, found.indexed) == (False, {"wearer": series[:5]}, 90)
    np.testing.assert_allclose(found.distance, apart[:5], atol=1e-6)
    found = reader.neighbours(query, 2, metric=metric, where={"wearer": series[70:]})
    assert (found.exact, found.series) == (True, {"wearer": series[70:72]})
    assert reader.neighbours(query, 900, metric=metric).exact
    assert open_reader(world.repo, name="ecg", exact_up_to=90).neighbours(query, 5, metric=metric).exact


def test_without_usearch_all_are_compared_and_one_line_says_what_to_install(world, open_reader, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "usearch", None)
    world.write(SIMPLE, *turned(9))
    now = [0.0]
    reader = open_reader(world.repo, name="ecg", exact_up_to=2, monotonic=lambda: now[0])
    for _ in range(3):
        found = reader.neighbours("s03", 2, metric="euclidean")
        await_indexes()
        now[0] += 61
    assert (found.exact, found.series) == (True, {"wearer": ["s02", "s04"]})
    (said,) = [record.getMessage() for record in caplog.records if "usearch" in record.getMessage()]
    assert said.startswith("ecg__eeeeeeee: each search compares all of them, for neighbours among 9 series by a graph")
    assert said.endswith("pip install 'undertow[neighbours]'")


class SlowStore:
    """Takes ten seconds for a look, and has one series."""

    def __init__(self):
        self.now, self.looks = 0.0, 0

    def keys(self, *_):
        self.now += 10.0
        self.looks += 1
        return entity_keys({"wearer": np.array(["s00"], object)})

    def ask(self, question):
        assert question.features == ("hidden",)
        vectors = float_lists(np.ones((1, 2), np.float32))
        return Answer(found=np.array([True]), event_us=np.array([JUNE]), values=[vectors])

    def close(self):
        pass


def test_making_an_index_anew_takes_at_most_a_tenth_of_the_time():
    store = SlowStore()
    indexes = SeriesIndexes(lambda: store, lambda: store.now, exact_up_to=10)
    space = ServedSpace(
        view=SIMPLE.view,
        online=SIMPLE.view,
        space=SIMPLE.space,
        series=SIMPLE.series,
        features=SIMPLE.features,
        ttl_seconds=None,
    )
    wanted = WantedIndex(space=space, project="p", feature="hidden", metric="cosine", oldest_s=1.0)
    for at, looks in ((0.0, 1), (50.0, 1), (99.0, 1), (100.0, 2), (150.0, 2), (199.0, 2), (200.0, 3)):
        store.now = max(store.now, at)
        indexes.get(wanted)
        await_indexes()
        assert store.looks == looks, at
    indexes.close()
