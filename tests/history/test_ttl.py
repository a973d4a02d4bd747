"""How long vectors count in Feast's joins: given, kept, or derived from the windows in the log, and always said."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import ibis
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.history.test_join import JUNE, VIEW, write_part
from tests.packing import pack
from undertow.adapters import feast_repo
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.cli.main import main
from undertow.core.durations import LONGEST_S, joinable, parse_duration, show_duration
from undertow.history.cadence import derive_ttl, ttl_of_log
from undertow.schemas.spaces import SpaceView

HOUR = 3_600_000_000


@given(st.integers(0, LONGEST_S))
def test_a_duration_is_read_as_it_is_written(seconds):
    assert parse_duration(show_duration(seconds)) == seconds


@given(st.one_of(st.integers(1, LONGEST_S), st.integers(1, 4 * 24).map(lambda hours: 3600 * hours)))
def test_feasts_joins_can_take_every_ttl_that_is_registered_and_none_is_shorter_than_what_was_given(seconds):
    taken = joinable(seconds)
    assert 0 <= taken - seconds < 86_400
    ibis.literal(timedelta(seconds=taken))  # as Feast's DuckDB store does
    if taken != seconds:
        with pytest.raises(ValueError, match="mixed units"):
            ibis.literal(timedelta(seconds=seconds))


@pytest.mark.parametrize("text", ["", "6", "h", "6hh", "-6h", "1.5h", "6H", "6 hours", "200000w", "1d 2x"])
def test_what_is_no_duration_is_told(text):
    with pytest.raises(ValueError, match="expected"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("gaps", "seconds", "reason"),
    [
        ([HOUR] * 20 + [6 * HOUR], 12 * 3600, "twice the longest of 21 gaps"),
        ([HOUR] * 20 + [1000 * HOUR], 100 * 3600, "1 of them were longer, up to 41d16h"),
        ([1], 1, "twice the longest of 1 gaps"),  # never less than a second, or it would be none
    ],
)
def test_a_ttl_reaches_over_twice_the_longest_gap_but_not_over_a_hundred_usual_ones(gaps, seconds, reason):
    derived = derive_ttl(np.array(gaps))
    assert derived.seconds == seconds
    assert reason in derived.reason


def test_the_gaps_are_those_of_one_series_and_a_window_delivered_twice_makes_none(tmp_path):
    assert ttl_of_log(tmp_path, VIEW, read_memory_bytes=128 << 20) is None
    write_part(tmp_path / "0.parquet", [("a", 1, JUNE, JUNE, 0, 1.0), ("a", 2, JUNE + 5, JUNE, 1, 1.0)])
    assert ttl_of_log(tmp_path, VIEW, read_memory_bytes=128 << 20) is None
    times = [0, 1, 1, 2, 5]  # in hours, in two parts
    rows = [("a", 1, JUNE + t * HOUR, JUNE, k, 1.0) for k, t in enumerate(times)]
    write_part(tmp_path / "0.parquet", rows[::2])
    write_part(tmp_path / "1.parquet", rows[1::2])
    assert ttl_of_log(tmp_path, VIEW, read_memory_bytes=128 << 20).reason == (
        "twice the longest of 3 gaps between windows of a series"
    )


def test_a_ttl_given_to_pack_goes_with_the_artifact_and_changes_no_space(artifact, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    taps = {"hidden": "hidden.3", "gate": "head"}
    manifest = pack(artifact.parent / "mlp.toml", tmp_path / "a", name="pump", taps=taps, code=["seed"], ttl_s=21_600)
    assert read_manifest(tmp_path / "a").view().ttl_seconds == 21_600
    assert manifest.space == read_manifest(artifact).space


def stored(path):
    return json.loads(path.read_text())["ttl_seconds"]


def test_a_view_keeps_its_ttl_when_it_is_registered_again(tmp_path):
    path = feast_repo.register(tmp_path, VIEW, tmp_path / "log")
    assert stored(path) is None
    feast_repo.register(tmp_path, replace(VIEW, ttl_seconds=60), tmp_path / "log")  # packed again, with one
    assert stored(path) == 60
    feast_repo.register(tmp_path, replace(VIEW, ttl_seconds=60), tmp_path / "log", ttl_s=0)
    assert stored(path) == 0
    feast_repo.register(tmp_path, replace(VIEW, ttl_seconds=60), tmp_path / "log")
    assert stored(path) == 0
    assert SpaceView.from_json(json.loads(path.read_text())) == replace(VIEW, ttl_seconds=0)


def test_apply_says_which_ttl_a_view_has_and_why(artifact, here, monkeypatch):
    monkeypatch.setattr("undertow.wiring.stores.apply", lambda *_, **__: ())
    for module in ("wiring.stores", "commands.apply"):
        monkeypatch.setattr(f"undertow.{module}.held_views", lambda _feast: {})
    view = read_manifest(artifact).view()
    path = here / "feature_repo/spaces" / f"{view.view}.json"

    def apply(*options):
        done = CliRunner().invoke(main, ["apply", "--set", f"model.artifact={artifact}", *options])
        assert done.exit_code == 0, done.output
        return done.output

    assert f"{view.view}: no ttl: " in (said := apply())
    assert "--ttl 6h" in said
    assert stored(path) is None
    rows = [("a", 1, JUNE + t * HOUR, JUNE, t, 1.0) for t in range(4)]
    write_part(view_folder(here / ".undertow/offline", view) / "windows/0/0.parquet", rows)
    assert "ttl 2h, twice the longest of 3 gaps between windows of a series; after that" in apply()
    assert (f"{view.view}: ttl 2h\n" in apply(), stored(path)) == (True, 7200)
    assert ("ttl 2d (1d12h rounded up: Feast's joins take" in apply("--ttl", "36h"), stored(path)) == (True, 172_800)
    assert (f"{view.view}: ttl 2d\n" in apply(), stored(path)) == (True, 172_800)
    assert ("no ttl" in apply("--ttl", "0"), stored(path)) == (True, 0)
    assert ("no ttl" in apply(), stored(path)) == (True, 0)
    wrong = CliRunner().invoke(main, ["apply", "--ttl", "six hours"])
    assert (wrong.exit_code, "expected a duration with its unit" in wrong.output) == (2, True)
