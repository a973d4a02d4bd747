"""Notes of what was begun: whoever is killed leaves one, and after three a chunk is refused."""

import pytest

from undertow.backfill.attempts import MOST_DEATHS, Attempts
from undertow.core.errors import Refused, Unavailable


def test_a_chunk_is_begun_as_often_as_workers_may_die_and_then_refused_with_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.8")
    attempts = Attempts(tmp_path / "run")
    for _ in range(MOST_DEATHS):
        attempts.begin("a")
    attempts.begin("b")
    with pytest.raises(Refused, match=r"3 workers in a row .* more than 0\.8 of a node's .*backfill\.replicas"):
        attempts.begin("a")


def test_what_has_ended_is_forgotten_and_other_runs_count_for_themselves(tmp_path):
    attempts = Attempts(tmp_path / "run")
    for _ in range(10 * MOST_DEATHS):
        attempts.begin("a")
        attempts.end("a")
        Attempts(tmp_path / "other").begin("a") if not (tmp_path / "other").exists() else None
    attempts.close()
    attempts.close()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_folder_that_takes_no_notes_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="could not be noted"):
        Attempts(tmp_path / "file" / "run").begin("a")
