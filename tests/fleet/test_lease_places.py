"""A fleet shows its lease in each place that it holds: its group, and the logs that it writes."""

import threading

import pytest

from undertow.adapters.offline_lease import FOLDER, FileLease
from undertow.core.errors import Refused, Unavailable
from undertow.fleet.lease import GROUP, HolderTexts, Lease
from undertow.fleet.lease_places import Heartbeats, LeasePlace, acquire_all

LOG = HolderTexts(does="writes this log", instead="another offline.path")


def lease(run):
    return Lease(run=run, fleet=f"fleet of {run}", host="here", pid=1, since=0.0)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "view").mkdir()
    return tmp_path / "view"


def places(home, group):
    """What two fleets of other groups share: the log alone."""
    return [
        LeasePlace(lease=FileLease(home.parent, group), held=GROUP),
        LeasePlace(lease=FileLease(home, "windows"), held=LOG),
    ]


def test_a_fleet_of_another_group_is_refused_by_the_log_and_leaves_no_sign(home):
    ours, theirs = places(home, "ours"), places(home, "theirs")
    acquire_all(lease("one"), ours)
    beats = Heartbeats(lease("one"), ours)
    try:
        with pytest.raises(Refused, match=r"'fleet of one' writes this log already.*another offline.path"):
            acquire_all(lease("two"), theirs)
        assert theirs[0].lease.read() == ""
        assert Lease.parse(theirs[1].lease.read()).run == "one"
    finally:
        beats.stop(is_last=True)
    acquire_all(lease("two"), theirs)


def test_a_sign_is_one_file_beside_the_chains_that_is_whole_whoever_reads(home):
    shown, enough, seen = FileLease(home, "windows"), threading.Event(), set()

    def write():
        while not enough.is_set():
            shown.write("a" * 4000)
            shown.write("b" * 4000)

    shown.write("a" * 4000)
    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(200):
        seen.add(shown.read())
    enough.set()
    thread.join()
    assert seen <= {"a" * 4000, "b" * 4000}
    assert [path.name for path in (home / FOLDER).iterdir()] == ["windows.json"]


def test_where_the_log_is_away_no_folder_is_made_in_its_place(tmp_path):
    with pytest.raises(Unavailable, match="is gone"):
        FileLease(tmp_path / "away", "windows").write("here")
    assert not (tmp_path / "away").exists()
