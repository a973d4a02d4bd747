"""Series are forgotten in snapshots of observations, at once where no fleet is alive, else when its replicas say so."""

import numpy as np
import pytest

from tests.observations.conftest import TIME, contract_of
from tests.observations.streaming import Streamed
from tests.observations.test_meaning import KINDS
from undertow.adapters.window_forgetting import FileForgetRequests
from undertow.adapters.window_snapshots import WindowSnapshots
from undertow.history.forget_observed import ANSWER_S, HeldObservations
from undertow.observations.held_forgetting import has_any
from undertow.observations.held_snapshot import freeze
from undertow.observations.series_keys import keys_of
from undertow.observations.spec import WindowSpec
from undertow.schemas.records import Partition

PARTITIONS = [Partition("readings", index) for index in range(3)]


@pytest.fixture(params=["disk", pytest.param("store", marks=pytest.mark.s3)])
def home(request, tmp_path):
    home = tmp_path if request.param == "disk" else request.getfixturevalue("store_root")
    for partition in PARTITIONS[:2]:
        stream = Streamed(WindowSpec(every="10us"), contract_of("flow"), KINDS)
        for step in range(2):
            rows = [{"site": site, TIME: step * 10, "flow": 1.0} for site in (f"a{partition.index}", "b")]
            stream.feed([rows], partition=partition.index)
            content = freeze(stream.series, partition.index).to_bytes({})
            WindowSnapshots(home).write(partition, stream.offset, content)
    return home


def ids(*sites):
    return {"site": np.array(sites, object)}


def held(home, site):
    """In how many snapshots a series is."""
    return sum(
        has_any(content, keys_of(ids(site), [partition.index]))
        for partition in PARTITIONS
        for content in WindowSnapshots(home).newest(partition)
    )


def test_without_a_fleet_snapshots_are_rewritten_and_no_request_stays(home):
    FileForgetRequests(home).ask(PARTITIONS[1], keys_of(ids("a1"), [1]))  # of a command that was killed
    observed = HeldObservations(home, ids("a0", "nobody"))
    assert observed.count() == 2
    done = observed.forget(lambda _home, _topic: False)
    assert (done.snapshots, done.unanswered) == (4, ())
    assert [held(home, site) for site in ("a0", "a1", "b")] == [0, 0, 4]
    assert FileForgetRequests(home).pending() == []
    again = observed.forget(lambda _home, _topic: False)
    assert (observed.count(), again.snapshots) == (0, 0)


def test_a_fleet_is_waited_for_until_each_partition_has_answered(home):
    requests, said = FileForgetRequests(home), []

    def answer_one(_seconds):
        said.append("waited")
        requests.fulfil(requests.pending()[0])

    observed = HeldObservations(home, ids("b"))
    done = observed.forget(lambda _home, _topic: True, lambda: said.append("told"), wait=answer_one)
    assert (done.snapshots, done.unanswered, said) == (4, (), ["told", "waited", "waited"])
    assert held(home, "b") == 0


def test_who_does_not_answer_is_named_and_its_request_stays(home):
    now = [0.0]

    def pass_time(_seconds):
        now[0] += ANSWER_S / 3

    observed = HeldObservations(home, ids("b"))
    done = observed.forget(lambda _home, _topic: True, clock=lambda: now[0], wait=pass_time)
    assert done.unanswered == tuple(PARTITIONS[:2])
    assert len(FileForgetRequests(home).pending()) == 2
    assert held(home, "b") == 0


def test_a_snapshot_that_is_damaged_goes_whatever_it_holds(tmp_path):
    WindowSnapshots(tmp_path).write(PARTITIONS[0], 7, b"damaged, and longer than a digest")
    observed = HeldObservations(tmp_path, ids("a"))
    assert (observed.count(), observed.forget(lambda _home, _topic: False).snapshots) == (1, 1)
    assert observed.partitions == []


def test_where_nothing_was_observed_nobody_is_asked(tmp_path):
    def never(_home, _topic):
        raise AssertionError

    observed = HeldObservations(tmp_path, ids("a"))
    assert (observed.count(), observed.forget(never).unanswered) == (0, ())
