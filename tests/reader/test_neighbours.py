"""The nearest series: as plain numpy ranks what is online now, whatever the index has."""

import json
from contextlib import closing
from datetime import timedelta

import numpy as np
import pytest
import redis
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import undertow
from tests.reader.conftest import FIRST, JUNE, SECOND, SIMPLE, await_indexes, ids, ranked, turned
from undertow.adapters.feast_bytes import entity_keys
from undertow.cli.main import main
from undertow.reader.nearest import VectorIndex, distances

pytestmark = pytest.mark.redis
WHOLE = timedelta(0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_series_are_those_of_plain_numpy_the_nearest_first(world, open_reader, metric):
    rows = turned(50)
    world.write(SIMPLE, *rows)
    reader = open_reader(world.repo, name="ecg")
    query = np.array([3.2, 3.3], np.float32)
    found = reader.neighbours(query, 5, metric=metric)
    series, apart = ranked(rows, query, metric)
    assert found.series == {"wearer": series[:5]}
    np.testing.assert_allclose(found.distance, apart[:5], atol=1e-6)
    assert np.array_equal(
        found.vectors, [[float(one[1:]), np.float32(float(one[1:])) + np.float32(0.1)] for one in series[:5]]
    )
    assert (found.indexed, found.space, found.view, len(found)) == (50, SIMPLE.space, SIMPLE.view, 5)
    assert found.event_time.astype(np.int64).tolist() == [JUNE] * 5
    assert found.age.tolist() == [timedelta(0)] * 5


def test_a_series_is_not_its_own_neighbour_and_may_be_asked_for_by_its_id(world, open_reader):
    world.write(SIMPLE, *turned(8))
    reader = open_reader(world.repo, name="ecg")
    by_id, by_dict = (reader.neighbours(query, 3, metric="euclidean") for query in ("s04", {"wearer": "s04"}))
    assert by_id.series == by_dict.series
    assert by_id.series["wearer"][:2] == ["s03", "s05"]  # as near: then by their ids
    assert "s04" not in reader.neighbours("s04", 100).series["wearer"]
    with pytest.raises(undertow.Refused, match=r"ecg__eeeeeeee has no vector of 'nobody' online"):
        reader.neighbours("nobody")


def test_what_has_moved_since_the_index_was_made_is_told_as_it_is_now(world, open_reader):
    world.write(SIMPLE, *turned(6))
    reader = open_reader(world.repo, name="ecg")
    query = [0.0, 0.1]
    assert reader.neighbours(query, 2, metric="euclidean").series == {"wearer": ["s00", "s01"]}
    world.write(SIMPLE, ("s00", JUNE + 1, 100.0), ("s09", JUNE + 1, 0.0))
    found = reader.neighbours(query, 2, metric="euclidean", index_age=timedelta(days=1))
    assert (found.series, found.indexed) == ({"wearer": ["s01", "s02"]}, 6)  # s09 came later
    assert found.index_age < 60


def test_an_index_that_is_too_old_is_made_anew_beside_whoever_asks(world, open_reader):
    world.write(SIMPLE, *turned(3))
    now = [0.0]
    reader = open_reader(world.repo, name="ecg", monotonic=lambda: now[0])
    assert reader.neighbours("s00", 5).indexed == 3
    world.write(SIMPLE, ("s09", JUNE, 9.0))
    now[0] = 61.0
    assert reader.neighbours("s00", 5).indexed == 3  # nobody waits for the new one
    await_indexes()
    found = reader.neighbours("s00", 5)
    assert (found.indexed, found.index_age, "s09" in found.series["wearer"]) == (4, 0.0, True)


def test_where_leaves_others_out_before_the_nearest_are_chosen_and_max_age_afterwards(world, open_reader):
    rows = [(f"s{number:03d}", JUNE - number, float(number)) for number in range(400)]
    world.write(SIMPLE, *rows)
    reader = open_reader(world.repo, name="ecg")
    query = [0.0, 0.1]
    wanted = ["s300", "s399", "s350"]
    found = reader.neighbours(query, 2, metric="euclidean", where={"wearer": wanted})
    assert found.series == {"wearer": ["s300", "s350"]}
    assert reader.neighbours(query, 2, where={"wearer": "s007"}).series == {"wearer": ["s007"]}
    assert len(reader.neighbours(query, 2, where={"wearer": "nobody"})) == 0
    found = reader.neighbours([50.0, 50.1], 60, metric="euclidean", max_age=timedelta(microseconds=40))
    assert sorted(found.series["wearer"]) == [f"s{number:03d}" for number in range(41)]


def test_a_vector_that_is_no_number_is_near_to_nothing(world, open_reader):
    world.write(SIMPLE, *turned(4), *((f"nan{number:02d}", JUNE, float("nan")) for number in range(60)))
    reader = open_reader(world.repo, name="ecg")
    assert reader.neighbours("s03", 9, metric="euclidean").series == {"wearer": ["s02", "s01", "s00"]}
    world.write(SIMPLE, ("s02", JUNE + 1, float("nan")))
    found = reader.neighbours("s03", 9, metric="euclidean")
    assert (found.series, found.indexed) == ({"wearer": ["s01", "s00"]}, 4)


def test_a_promoted_space_is_searched_by_vectors_of_its_own(world, open_reader):
    world.write(FIRST, ("a", JUNE, 1), ("b", JUNE, 2), ("c", JUNE, 50))
    world.write(SECOND, ("a", JUNE, 1), ("b", JUNE, 70), ("c", JUNE, 2))
    reader = open_reader(world.repo, look_every=WHOLE)
    (query,) = ids("a")

    def found_nearest():
        found = reader.neighbours(query, 1, feature="hidden", metric="euclidean")
        return found.space, found.series

    assert found_nearest() == (FIRST.space, {"wearer": ["b"], "session": [7]})
    world.say({"har": world.text(SECOND)})
    assert found_nearest() == (SECOND.space, {"wearer": ["c"], "session": [7]})
    assert reader.neighbours(query, 9, feature="hidden", where={"session": 8}).series == {"wearer": [], "session": []}


def test_other_spaces_and_other_projects_of_the_same_store_are_not_searched(world, open_reader):
    world.write(SIMPLE, *turned(3))
    world.write(FIRST, ("other", JUNE, 1))
    if world.kind == "redis":  # as a project writes there whose name ends with this one's
        (key,) = entity_keys({"wearer": np.array(["s00"], object)})
        address = str(world.published.options["connection_string"]).partition(",")[0]
        with closing(redis.Redis.from_url(f"redis://{address}")) as client:
            client.copy(key + world.project.encode(), key + b"other_" + world.project.encode(), replace=True)
    found = open_reader(world.repo, name="ecg").neighbours([1.0, 1.1], 9)
    assert (sorted(found.series["wearer"]), found.indexed) == (["s00", "s01", "s02"], 3)


@pytest.mark.parametrize("id_", [7, np.int64(7)])
def test_a_number_names_a_series_be_it_pythons_or_numpys(world, open_reader, id_):
    with pytest.raises(undertow.Refused, match=r"wearer: expected texts, found .*7"):
        open_reader(world.repo, name="ecg").neighbours(id_)


def test_an_empty_store_has_no_neighbours(world, open_reader):
    found = open_reader(world.repo, name="ecg").neighbours([1.0, 1.1])
    assert (len(found), found.vectors.shape, found.indexed) == (0, (0, 2), 0)


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ([1.0], {}, r"a vector of 2 finite numbers, as hidden of ecg__eeeeeeee has, found list of shape \(1,\)"),
        ([1.0, float("nan")], {}, "finite numbers"),
        ([1.0, 2.0], {"metric": "manhattan"}, "metric: expected cosine or euclidean, found 'manhattan'"),
        ([1.0, 2.0], {"k": 0}, "k: expected at least 1, found 0"),
        ([1.0, 2.0], {"where": {"side": "left"}}, "where: ecg__eeeeeeee has no id side; there are: wearer"),
        ([1.0, 2.0], {"where": {"wearer": 3}}, "wearer"),
        ([1.0, 2.0], {"feature": "gate"}, "has no feature 'gate'"),
        ({"side": "left"}, {}, "wearer"),
    ],
)
def test_what_cannot_be_meant_is_refused(world, open_reader, query, options, message):
    with pytest.raises(undertow.Refused, match=message):
        open_reader(world.repo, name="ecg").neighbours(query, **options)


def test_of_several_features_one_must_be_said(world, open_reader):
    world.write(FIRST, ("a", JUNE, 1))
    with pytest.raises(undertow.Refused, match="feature: expected one of hidden, gate"):
        open_reader(world.repo).neighbours(ids("a")[0])


VECTORS = hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(3)), elements=st.integers(-3, 3).map(float))


@given(vectors=VECTORS, query=st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3), count=st.integers(1, 50))
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_index_gives_as_many_as_are_wanted_and_none_that_is_nearer_is_left_out(metric, vectors, query, count):
    query = np.array(query, np.float32)
    places, is_exact = VectorIndex(vectors, metric).nearest(query, count)
    assert is_exact
    assert len({*places.tolist()}) == len(places) == min(count, len(vectors))
    apart = distances(vectors, query, metric)
    left = np.setdiff1d(np.arange(len(vectors)), places)
    if len(left) and len(places):
        assert apart[places].max() <= apart[left].min() + 1e-5


def command(world, *arguments):
    options = [f"--set=feast.repo={world.repo}", "--set=feast.config=feature_store.yaml"]
    return CliRunner().invoke(main, ["neighbours", *arguments, *options], env={"COLUMNS": "200"})


def test_the_command_lists_them_for_people_and_for_programs(world):
    world.write(SIMPLE, *turned(6))
    done = command(world, "ecg", "wearer=s03", "--k", "2", "--metric", "euclidean")
    assert done.exit_code == 0, done.output
    assert "2 neighbours among 6 series of ecg__eeeeeeee" in done.output
    assert "s02" in done.output
    assert "2024-06-01T00:00:00.123456Z" in done.output
    done = command(
        world, "ecg", "wearer=s03", "--json", "--where", "wearer=s01", "--where", "wearer=s05", "--metric", "euclidean"
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(line["wearer"], round(line["distance"], 4)) for line in lines} == {("s01", 2.8284), ("s05", 2.8284)}
    assert {line["space"] for line in lines} == {SIMPLE.space}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("har", "wearer=a"), "found no session"),
        (("har", "wearer=a", "session=x"), "session: expected a whole number, found x"),
        (("har", "side=left"), "ids are written as id=value, with the ids wearer, session; found side=left"),
        (("har", "wearer=a", "session=7", "wearer=b"), "expected each id once"),
        (("nothing", "wearer=a"), "nothing"),
    ],
)
def test_what_is_typed_wrong_is_told(world, arguments, message):
    world.write(FIRST, ("a", JUNE, 1))
    done = command(world, *arguments, "--feature", "hidden")
    assert done.exit_code in (1, 2)
    assert message in done.output
