"""The section `windows` has the keys, the defaults and the checks of `WindowSpec`."""

from dataclasses import MISSING, fields

import pytest

from undertow.core.errors import Refused
from undertow.observations.spec import WindowSpec
from undertow.settings.settings import load
from undertow.settings.windows_section import WindowsSettings


def test_keys_and_defaults_are_those_of_the_specification():
    given = {one.name: one.default if one.default is not MISSING else one.default_factory for one in fields(WindowSpec)}
    given |= {"every": "", "calendar": {}, "known": None, "static": None, "held_path": None}
    given |= {"known_topic": "", "known_seconds": 10.0, "known_keep": "0"}
    assert WindowsSettings().model_dump() == given


def test_every_key_reaches_the_specification():
    keys = {
        "every": "10m",
        "time": "at",
        "origin": "2026-01-01T00:05Z",
        "align": "until",
        "combine": {"flow": "mean", "*": "max"},
        "created": "made",
        "fill": {"flow": 0.5, "head": "forward"},
        "max_gap": "1h",
        "on": "grid",
        "stride": 3,
        "lateness": "2h",
        "min_length": 2,
        "max_length": 5,
        "calendar": {"h": "hour"},
        "zone": "Europe/Berlin",
        "fold": "later",
    }
    assert set(keys) == {one.name for one in fields(WindowSpec)} - {"tolerance"}
    assert WindowsSettings(**keys).spec() == WindowSpec(**keys)
    assert WindowsSettings(every="10m", tolerance="1m").spec() == WindowSpec(every="10m", tolerance="1m")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["windows.every=1 hour"], "windows.every: expected a duration with its unit"),
        (["windows.every=1h", "windows.fold=first"], "windows.fold: expected one of refuse, earlier, later"),
        (["windows.every=1h", "windows.evry=1h"], "windows.every"),
        (["windows.known=a.parquet", "windows.known_topic=ahead"], "found both: a.parquet and ahead"),
        (["windows.known_topic=ahead", "kafka.topic=ahead"], "windows.known_topic must be another topic"),
        (["windows.known_topic=what is ahead"], "windows.known_topic: Kafka takes letters"),
        (["windows.tolerance=a bit"], "windows.tolerance: expected a duration with its unit"),
        (["windows.max_gap=a bit"], "windows.max_gap: expected a duration with its unit"),
        (["windows.known_keep=90 days"], "windows.known_keep: expected a duration with its unit"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_settings_are_loaded(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as refusal:
        load(overrides)
    assert message in str(refusal.value)


def test_no_tolerance_and_no_lateness_may_be_written_as_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load(["windows.every=1h", "windows.tolerance=0", "windows.lateness=0", "windows.known_keep=0"]).windows
    assert (found.tolerance, found.lateness, found.known_keep, found.known_keep_us) == ("0", "0", "0", 0)


def test_a_table_is_set_key_by_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = ["windows.every=1h", "windows.max_gap=2", "windows.fill.flow=forward", "windows.fill.head=1"]
    spec = load(keys).windows.spec()
    assert spec.fill == {"flow": "forward", "head": 1}
    assert spec.max_gap_steps == 2
