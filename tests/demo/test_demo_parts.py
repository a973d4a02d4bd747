"""The parts of the demonstration that decide something: the pace, the classifier, what is shown."""

import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from undertow.core.errors import Refused
from undertow.demo.classify import Score, compare, feature_sets
from undertow.demo.flow import run_flow
from undertow.demo.follow import Followed
from undertow.demo.produce import play
from undertow.demo.table import comparison, live_line


def readings_of(count):
    return pd.DataFrame(
        {
            "wearer": [f"s{n % 3:02d}" for n in range(count)],
            "side": "left",
            "event_timestamp": pd.to_datetime(range(count), unit="s", utc=True).as_unit("us"),
            "ax": np.arange(count, dtype=np.float64),
        }
    )


def test_readings_are_played_when_they_are_due_and_a_late_one_delays_no_other(memory_clock):
    sent, moments, values = {}, [], []

    def wait(seconds):
        memory_clock.advance(seconds)
        return False

    def send(key, value):
        moments.append(memory_clock.now)
        values.append((key, json.loads(value)))
        memory_clock.advance(0.35 if len(moments) == 3 else 0.01)  # the broker is slow once

    assert play(readings_of(8), send, sent, per_second=10.0, wait=wait, clock=memory_clock) == 8
    due = [1000.0, 1000.1, 1000.2, 1000.55, 1000.56, 1000.57, 1000.6, 1000.7]
    np.testing.assert_allclose(moments, due, atol=1e-6)
    assert values[4] == (b"s01/left", {"wearer": "s01", "side": "left", "event_timestamp": 4_000_000, "ax": 4.0})
    assert sent[("s01", "left"), 4_000_000] == moments[4]


def test_a_stop_ends_the_playing_at_once(memory_clock):
    stops = iter([False, False, True])
    assert play(readings_of(8), print, {}, per_second=10.0, wait=lambda _: next(stops), clock=memory_clock) == 2


def test_accuracy_and_latency_are_those_of_what_the_reader_saw():
    sent = {(("s01",), 5): 10.0, (("s02",), 6): 11.0}
    followed = Followed(sent)
    assert followed.accuracy is None
    assert followed.latency_ms(0.5) is None
    followed.take(json.dumps({"t": 10.2, "predicted": 1, "correct": 1, "seen": [[["s01"], 5]]}))
    followed.take(json.dumps({"t": 11.4, "predicted": 2, "correct": 1, "seen": [[["s02"], 6]]}))
    assert followed.accuracy == 0.5
    assert followed.latency_ms(1.0) == pytest.approx(400)
    assert followed.newest == {("s01",): 5, ("s02",): 6}


def test_a_feature_that_tells_exercises_apart_scores_higher_than_one_that_does_not():
    rng = np.random.default_rng(0)
    exercises = np.array(["row", "abduction"], object)[rng.integers(0, 2, 240)]
    wearers = np.array([f"s{n % 4}" for n in range(240)], object)
    telling = (exercises == "row")[:, None] + rng.normal(0, 0.1, (240, 3))
    noise = rng.normal(size=(240, 3))
    known = {"telling": telling[:160], "noise": noise[:160]}
    unseen = {"telling": telling[160:], "noise": noise[160:]}
    by_name = {
        score.features: score.accuracy
        for score in compare(known, exercises[:160], wearers[:160], unseen, exercises[160:])
    }
    assert by_name["telling"] > 0.95
    assert by_name["noise"] < 0.7


def test_the_sets_of_features_are_what_their_names_say():
    observed = np.arange(24.0).reshape(2, 4, 3)
    sets = feature_sets(observed, np.ones((2, 5)))
    np.testing.assert_array_equal(sets["last observation"], observed[:, 3])
    np.testing.assert_array_equal(sets["mean and std of the window"][:, :3], observed.mean(1))
    np.testing.assert_array_equal(sets["mean and std of the window"][:, 3:], observed.std(1))
    assert {name: features.shape[1] for name, features in sets.items()} == {
        "last observation": 3,
        "mean and std of the window": 6,
        "embedding": 5,
        "embedding, mean and std": 11,
    }


def test_what_is_not_known_yet_is_not_shown_as_a_number():
    line = live_line(windows=0, total=9, per_second=0.0, lag=None, rejects=0, p50_ms=None, p99_ms=None, accuracy=None)
    assert line == "0 of 9 windows · 0 windows/s · rejects 0 · append to readable p50 -, p99 - · accuracy so far -"


def test_the_table_shows_each_set_as_it_came_out():
    console = Console(width=100)
    scores = [Score(features="embedding", size=192, classifier="SVM", accuracy=0.8174)]
    with console.capture() as captured:
        console.print(comparison(scores, windows=3017, wearers=3))
    text = captured.get()
    assert "3,017 windows of 3 unseen wearers" in text
    assert "0.817" in text


def test_a_folder_that_is_no_checkout_is_refused_at_once_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console()
    with (
        console.capture() as captured,
        pytest.raises(Refused, match=r"run the demo in a checkout of Undertow, or set feast\.repo"),
    ):
        run_flow(tmp_path / "state", console)
    assert captured.get() == ""
    assert not (tmp_path / "state").exists()
