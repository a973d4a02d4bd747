"""A backfill in which nothing moves says so, and what may keep it."""

import threading

import pytest

from undertow.backfill.attempts import Attempts
from undertow.backfill.stall import StallWatch, memory_in_use


class Listener:
    def __init__(self):
        self.said, self.heard = [], threading.Event()

    def __call__(self, text):
        self.said.append(text)
        self.heard.set()


@pytest.mark.parametrize(
    ("begins", "words"),
    [
        (0, "no worker has begun one, 0 workers killed"),
        (1, "1 being embedded, 0 work"),
        (3, "1 being embedded, 2 work"),
    ],
)
def test_where_no_chunk_ends_it_is_told_what_was_begun_how_many_died_and_how_full_the_memory_is(
    tmp_path, monkeypatch, begins, words
):
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.8")
    attempts, listener = Attempts(tmp_path / "run"), Listener()
    for _ in range(begins):
        attempts.begin("a")
    with StallWatch(attempts, listener, after_s=0.01):
        assert listener.heard.wait(20)
    assert words in listener.said[0]
    assert "more than 80% of a node's memory is in use (RAY_memory_usage_threshold; here it is " in listener.said[0]


def test_where_chunks_end_nothing_is_told_and_the_watch_ends_at_once(tmp_path):
    listener = Listener()
    with StallWatch(Attempts(tmp_path / "run"), listener, after_s=3600.0) as watch:
        for _ in range(3):
            watch.moved()
    assert not watch._thread.is_alive()
    assert listener.said == []


def test_the_memory_in_use_is_a_share():
    assert 0.0 < memory_in_use() < 1.0
