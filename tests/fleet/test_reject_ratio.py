"""When too much is refused: what the limit says, and what the controller does about it."""

from dataclasses import replace

import pytest

from undertow.fleet.monitor import FleetMonitor
from undertow.fleet.reject_ratio import RejectSample, keep, too_many_rejects
from undertow.settings.sections import FleetSettings
from undertow.stream.counts import Counts

FLEET = FleetSettings(max_reject_ratio=0.5, reject_window_seconds=60.0, reject_window_records=10)


def counted(at, records, **rejects):
    return RejectSample(at=at, records=records, rejects=rejects)


@pytest.mark.parametrize(
    ("records", "rejects", "is_too_many"),
    [(20, 11, True), (20, 10, False), (9, 9, False), (10, 10, True), (0, 0, False)],
    ids=["above", "at the limit", "too few to tell", "just enough", "nothing"],
)
def test_a_share_above_the_limit_is_too_many_where_there_are_enough_records(records, rejects, is_too_many):
    found = too_many_rejects(FLEET, [counted(0, 100, number=3), counted(9, 100 + records, number=3 + rejects)])
    assert (found is not None) == is_too_many


def test_the_message_counts_the_reasons_of_the_window_the_most_frequent_first():
    found = too_many_rejects(FLEET, [counted(0, 0, series=7), counted(9, 1_200, number=200, series=7, length=1_000)])
    assert found is not None
    assert "1,200 of the last 1,200 records were refused (length 1,000, number 200)" in found


def test_what_is_older_than_the_window_is_forgotten_but_for_where_it_began():
    seen = []
    for at in range(0, 200, 20):
        seen = keep(seen, counted(at, at), 60.0)
    assert [one.at for one in seen] == [120, 140, 160, 180]


def test_rejects_before_the_window_do_not_count():
    seen = keep([], counted(0, 0), 60.0)
    seen = keep(seen, counted(10, 1_000, number=1_000), 60.0)
    seen = keep(seen, counted(80, 2_000, number=1_000), 60.0)
    assert too_many_rejects(FLEET, seen) is None


# In the fleet --------------------------------------------------------------------------------------------------------


@pytest.fixture
def too_much(make_scene):
    """A fleet with a limit."""

    class Flooded(make_scene):
        def start_controller(self):
            super().start_controller()
            self.controller._monitor = FleetMonitor(lambda: self.now, FLEET)

        def count(self, name, records, rejects):
            one = self.replicas.living[name]
            self.replicas.living[name] = replace(
                one,
                counts=one.counts
                + Counts(records=records, rejects={"number": rejects}, last_reject={"number": "windows-3@17"}),
            )
            self.controller.tick()

    return Flooded()


@pytest.mark.expects_errors
def test_too_many_rejects_over_all_replicas_drains_the_fleet_and_it_has_failed_with_reasons_and_a_place(too_much):
    too_much.settle()
    too_much.count("replica-1", 10, 2)
    assert too_much.controller.status().state == "running"
    too_much.count("replica-2", 20, 20)
    too_much.controller.tick()
    assert too_much.controller.status().state == "draining"  # what was taken becomes durable before the end
    too_much.settle()
    status = too_much.controller.status()
    assert (status.state, status.failovers, too_much.replicas.living) == ("failed", 0, {})
    assert "22 of the last 30 records were refused (number 22)" in status.message
    assert "number at windows-3@17" in status.message
    assert "undertow replay" in status.message


def test_without_a_limit_nothing_stops_the_fleet(scene):
    scene.settle()
    scene.replicas.living["replica-1"] = replace(
        scene.replicas.living["replica-1"], counts=Counts(records=10**6, rejects={"number": 10**6})
    )
    scene.settle()
    assert scene.controller.status().state == "running"


def test_a_death_takes_nothing_back_and_the_successor_counts_from_zero(too_much):
    too_much.settle()
    too_much.count("replica-1", 100, 40)
    too_much.replicas.die("replica-1")
    too_much.settle()
    too_much.count("replica-3", 100, 50)
    assert too_much.controller.status().state == "running"
    counts = too_much.controller.status().counts
    assert (counts.records, counts.rejects) == (200, {"number": 90})


def test_a_restarted_controller_does_not_take_the_past_for_too_many(too_much):
    too_much.settle()
    too_much.count("replica-1", 4, 4)
    too_much.count("replica-2", 5, 5)
    too_much.start_controller()
    too_much.settle()
    too_much.count("replica-1", 4, 1)
    assert too_much.controller.status().state == "running"
    assert too_much.controller.status().counts.rejects == {"number": 10}


def test_how_long_partitions_had_no_reader_is_logged(scene, caplog):
    caplog.set_level("INFO", "undertow")
    scene.settle()
    held = sorted(map(str, scene.replicas.living["replica-1"].held))
    scene.replicas.die("replica-1", "its process died")
    scene.controller.tick()
    scene.now += 1.5
    scene.settle()
    said = {record.event: record.fields for record in caplog.records if hasattr(record, "event")}
    assert (said["failover"]["of"], said["failover"]["reason"]) == ("replica-1", "its process died")
    assert len(held) == 4
    assert said["failover"]["partitions"] == held
    assert said["taken-over"]["seconds"] == 1.5
