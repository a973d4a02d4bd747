"""When a fleet's log is maintained, and what is told of it: a scripted maintainer, a clock that the test winds."""

import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console

from undertow.fleet.maintain_status import MaintainReport, MaintainStatus
from undertow.fleet.maintainer_actor import report
from undertow.fleet.maintenance import LONGEST_S, Maintenance
from undertow.fleet.show import show
from undertow.fleet.status import FleetStatus
from undertow.history.maintain import Maintained
from undertow.stream.counts import Counts

PAUSE_S = 300.0


class ScriptedMaintainer:
    """Does what it is told when the test says so."""

    def __init__(self):
        self.begun = self.ended = 0
        self.answer = None
        self.is_free = True

    def begin(self):
        self.begun += self.is_free
        return self.is_free

    def look(self):
        answer, self.answer = self.answer, None
        return answer

    def end(self):
        self.ended += 1


@pytest.fixture
def maintainer():
    return ScriptedMaintainer()


@pytest.fixture
def maintenance(maintainer, memory_clock):
    return Maintenance(PAUSE_S, maintainer, memory_clock, mask=lambda text: text.replace("hush", "***"))


@pytest.fixture
def run(maintenance, maintainer, memory_clock):
    """Wait for the next run, and let it answer."""

    def go(answer):
        memory_clock.advance(PAUSE_S)
        maintenance.tick(is_ending=False)
        maintainer.answer = answer
        maintenance.tick(is_ending=False)
        return maintenance.status()

    return go


def test_a_run_begins_after_each_pause_and_never_beside_another(maintenance, maintainer, memory_clock):
    maintenance.tick(is_ending=False)
    memory_clock.advance(PAUSE_S - 1)
    maintenance.tick(is_ending=False)
    assert maintainer.begun == 0
    memory_clock.advance(1)
    for _ in range(3):
        maintenance.tick(is_ending=False)
        memory_clock.advance(PAUSE_S)
    assert maintainer.begun == 1
    maintainer.answer = MaintainReport(pid=7)
    maintenance.tick(is_ending=False)
    maintenance.tick(is_ending=False)
    assert maintainer.begun == 1
    memory_clock.advance(PAUSE_S)
    maintenance.tick(is_ending=False)
    assert maintainer.begun == 2


def test_in_a_fleet_that_drains_no_run_begins_and_one_that_goes_on_is_heard(maintenance, maintainer, memory_clock):
    memory_clock.advance(PAUSE_S)
    maintenance.tick(is_ending=True)
    assert maintainer.begun == 0
    maintenance.tick(is_ending=False)
    maintainer.answer = MaintainReport(pid=7, rows=5, text="5 rows")
    maintenance.tick(is_ending=True)
    assert maintenance.status().rows == 5
    maintenance.end()
    assert maintainer.ended == 1


def test_the_status_tells_when_it_last_left_nothing_undone_and_what_it_did(maintenance, run, memory_clock):
    assert str(maintenance.status()) == "not maintained yet by this fleet"
    run(MaintainReport(pid=7, rows=5, text="5 rows folded"))
    known = run(MaintainReport(pid=7, rows=2, text="2 rows folded"))
    assert (known.runs, known.rows, known.pid, known.age_s) == (2, 7, 7, 0.0)
    run(MaintainReport(pid=7))
    memory_clock.advance(34)
    assert str(maintenance.status()) == "maintained 34 s ago; last: 2 rows folded"
    assert maintenance.status().to_json()["rows"] == 7


def test_a_fault_is_told_once_without_secrets_and_so_is_its_end(run, caplog):
    caplog.set_level(logging.INFO)
    run("its process died")
    run("its process died")
    known = run(MaintainReport(pid=8, rows=1, faults=("the disk of hush is full", "and more")))
    assert (known.runs, known.age_s, known.fault) == (0, 3 * PAUSE_S, "the disk of *** is full; and more")
    assert str(known).endswith("; left as it is: the disk of *** is full; and more")
    known = run(MaintainReport(pid=8, rows=1, text="hush folded"))
    assert (known.runs, known.rows, known.fault, known.age_s) == (1, 2, None, 0.0)
    assert [(one.event, one.levelname) for one in caplog.records] == [
        *[("not-maintained", "WARNING")] * 2,
        ("maintained", "INFO"),
        ("maintained-again", "INFO"),
    ]
    assert "hush" not in caplog.text


def test_a_run_that_does_not_end_is_ended_and_another_begins(maintenance, maintainer, memory_clock):
    memory_clock.advance(PAUSE_S)
    maintenance.tick(is_ending=False)
    memory_clock.advance(LONGEST_S + 1)
    maintenance.tick(is_ending=False)
    assert (maintainer.ended, maintenance.status().fault) == (1, "a run had not ended after 6 hours, and was ended")
    memory_clock.advance(PAUSE_S)
    maintenance.tick(is_ending=False)
    assert maintainer.begun == 2


def test_while_the_maintainer_of_a_former_controller_is_ending_none_is_begun(maintenance, maintainer, memory_clock):
    memory_clock.advance(PAUSE_S)
    maintainer.is_free = False
    maintenance.tick(is_ending=False)
    assert maintenance.status().fault is None
    maintainer.is_free = True
    maintenance.tick(is_ending=False)
    assert maintainer.begun == 1


@pytest.mark.expects_errors
def test_a_maintainer_that_cannot_be_asked_is_told_and_asked_again_after_a_pause(run, maintainer):
    def fail():
        message = "Ray is away"
        raise RuntimeError(message)

    begin, maintainer.begin = maintainer.begin, fail
    assert run(None).fault == "RuntimeError: Ray is away"
    maintainer.begin = begin
    assert run(MaintainReport(pid=7)).fault is None


def test_with_a_pause_of_0_the_fleet_maintains_nothing(maintainer, memory_clock):
    maintenance = Maintenance(0.0, maintainer, memory_clock)
    memory_clock.advance(10 * PAUSE_S)
    maintenance.tick(is_ending=False)
    assert (maintainer.begun, maintenance.status()) == (0, None)


def test_a_status_shows_below_its_table_when_the_log_was_maintained_and_what_is_left_as_it_is():
    known = MaintainStatus(age_s=34.0, runs=2, rows=7, last="2 parts folded", fault="the disk is full")
    found = FleetStatus(
        name="f", state="running", replicas=(), wanted=1, partitions=1, counts=Counts(), failovers=0, maintained=known
    )
    for one, is_shown in ((found, True), (replace(found, maintained=None), False)):
        written = io.StringIO()
        show(one, Console(file=written, width=200), as_json=False)
        text = "history: maintained 34 s ago; last: 2 parts folded; left as it is: the disk is full"
        assert (text in written.getvalue()) == is_shown
    assert found.to_json()["maintained"]["fault"] == "the disk is full"


def test_a_report_names_the_views_that_were_changed_and_those_with_faults():
    views = [("a", Maintained(folded=2, rows=5)), ("b", Maintained(faults=("hush is full",))), ("c", Maintained())]
    found = report(views, lambda text: text.replace("hush", "***"))
    assert (found.rows, found.faults) == (5, ("b: *** is full",))
    assert found.text == "a: 2 parts folded into the table of history (5 rows), 0 parts deleted"
