"""Failpoints: silent where nothing is armed, and exact where something is."""

import multiprocessing
import os
import signal

import pytest

from undertow.stream import failpoints
from undertow.stream.failpoints import arm, disarm, hit_failpoint


def come_by(folder, times):
    os.environ[failpoints.FOLDER] = str(folder)
    for n in range(times):
        hit_failpoint("after_link")
        (folder / f"passed {n + 1}").touch()


def run_in_a_process(folder, times):
    process = multiprocessing.get_context("fork").Process(target=come_by, args=(folder, times))
    process.start()
    process.join()
    return process.exitcode


def test_a_process_is_killed_at_the_time_it_was_armed_for_and_its_successor_is_not(tmp_path):
    arm(tmp_path, "after_link", "kill", 3)
    assert run_in_a_process(tmp_path, 5) == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.glob("passed*")) == ["passed 1", "passed 2"]
    assert run_in_a_process(tmp_path, 5) == 0
    assert not disarm(tmp_path, "after_link")


def test_a_full_disk_stays_full_until_it_is_disarmed(tmp_path, monkeypatch):
    monkeypatch.setenv(failpoints.FOLDER, str(tmp_path))
    arm(tmp_path, "before_write", "full")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            hit_failpoint("before_write")
    assert disarm(tmp_path, "before_write")
    hit_failpoint("before_write")


def test_a_slow_disk_lets_each_passage_wait_until_it_is_disarmed(tmp_path, monkeypatch):
    monkeypatch.setenv(failpoints.FOLDER, str(tmp_path))
    naps = []
    monkeypatch.setattr(failpoints.time, "sleep", naps.append)
    arm(tmp_path, "before_write", "slow", 3)
    hit_failpoint("before_write")
    hit_failpoint("before_write")
    assert disarm(tmp_path, "before_write")
    hit_failpoint("before_write")
    assert naps == [0.3, 0.3]


def test_without_the_variable_an_armed_point_is_passed(tmp_path, monkeypatch):
    monkeypatch.delenv(failpoints.FOLDER, raising=False)
    arm(tmp_path, "before_write", "full")
    hit_failpoint("before_write")
