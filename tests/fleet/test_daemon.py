"""Threads beside the work go on whatever is raised in them: slower, and told."""

import threading
from dataclasses import replace

import pytest

from undertow.adapters.kafka_admin import TopicInfo
from undertow.fleet.daemon import LONGEST_DELAY_S, repeat, start_daemon
from undertow.fleet.lease import Heartbeat, Lease
from undertow.fleet.topic_watch import TopicWatch
from undertow.schemas.records import Partition

pytestmark = pytest.mark.expects_errors
MINE = Lease(run="mine", fleet="f", host="here", pid=1, since=0.0)


def played(*steps):
    """An act of these steps: an error is raised, the rest is returned; after the last one it ends."""
    rest = iter([*steps, None])

    def act():
        step = next(rest)
        if isinstance(step, Exception):
            raise step
        return step

    return act


def test_what_is_raised_is_logged_and_tried_again_ever_more_slowly_until_it_goes_well(caplog):
    waited = []
    errors = [KeyError("what nobody expected")] * 8
    repeat(played(0.5, *errors, 0.25, KeyError("again"), 0.5), wait=waited.append)
    assert waited == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_DELAY_S, LONGEST_DELAY_S, 0.25, 1.0, 0.5]
    assert caplog.text.count("what nobody expected") >= len(errors)
    assert "trying again in 16 s" in caplog.text


def test_a_thread_has_a_name_that_its_errors_carry(caplog):
    start_daemon("the look at the moon", played(ValueError("clouds")), wait=lambda _: None).join(20)
    assert "the look at the moon failed; trying again in 1 s" in caplog.text


def test_the_topic_is_looked_at_again_after_an_error_that_nobody_expected(monkeypatch):
    monkeypatch.setattr("undertow.fleet.daemon.FIRST_DELAY_S", 0.0)
    topic = TopicInfo(name="windows", topic_id="ours", cluster_id="c", partitions=2)
    answers, seen = [KeyError("no such node"), topic], threading.Event()

    def ask():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def grow(partitions):
        assert [*partitions] == [Partition("windows", 0), Partition("windows", 1)]
        seen.set()

    TopicWatch("ours", ask=ask, grow=grow, fail=pytest.fail).start(3600.0)
    assert seen.wait(20)


def test_a_sign_of_life_is_shown_again_after_an_error_that_nobody_expected(monkeypatch):
    monkeypatch.setattr("undertow.fleet.daemon.FIRST_DELAY_S", 0.0)
    written, enough = [], threading.Event()

    def write(text):
        written.append(text)
        if len(written) == 1:
            raise KeyError("partition 0 is not there")
        enough.set()

    beat = Heartbeat(MINE, write=write)
    assert enough.wait(20)
    beat.stop(is_last=True)
    assert written[-1] == ""
    assert {replace(Lease.parse(text), beat="") for text in written[:-1]} == {MINE}


def test_a_sign_that_cannot_be_taken_away_holds_nobody_up():
    written, shown = [], threading.Event()

    def write(text):
        written.append(text)
        shown.set()
        if not text:
            raise KeyError("the topic is gone")

    beat = Heartbeat(MINE, write=write)
    assert shown.wait(20)
    beat.stop(is_last=True)
    assert not beat._thread.is_alive()
    assert written.count("") == 1
