"""`kafka.event_time`: how it is set, and that what reads a topic keeps to it."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from undertow.core.errors import Refused
from undertow.settings.sections import EventTimeSettings, KafkaSettings
from undertow.settings.settings import TOML, load
from undertow.wiring.formats import open_decode

sys.path.insert(0, str(Path(__file__).parents[1] / "schemas"))  # tests are no package
from formats import CONTRACT, FORMATS, documents, records

NOW_S = 1_767_225_600.0  # 2026-01-01


def ends_taken(settings: KafkaSettings, *ends: object) -> list[int]:
    values = [json.dumps({**documents()[0], "end": end}).encode() for end in ends]
    return open_decode(settings, CONTRACT, clock=lambda: NOW_S)(records(values)).windows.end_us.tolist()


def test_without_a_word_nothing_before_1980_and_nothing_more_than_a_day_ahead_is_taken():
    texts = [
        "1979-12-31T23:59:59.999999Z",
        "1980-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "2026-01-02T00:00:00.000001Z",
    ]
    assert ends_taken(KafkaSettings(), *texts) == [315_532_800_000_000, 1_767_312_000_000_000]
    assert ends_taken(KafkaSettings(), 1_767_225_600, 1_767_225_600_000, 1_767_225_600_000_000) == [int(NOW_S * 1e6)]


@pytest.mark.parametrize("form", FORMATS[:2] + FORMATS[-1:], ids=str)
def test_every_format_keeps_to_it(form):
    values = [form.write({**documents()[0], "end": end}) for end in (5, 1_767_225_600_000_000)]
    decode = open_decode(KafkaSettings(format=form.name), CONTRACT, clock=lambda: NOW_S)
    decoded = decode(records(values))
    assert decoded.windows.end_us.tolist() == [1_767_225_600_000_000]
    assert [reject.reason for reject in decoded.rejects] == ["event-time"]


@pytest.mark.usefixtures("here")
def test_it_is_set_by_flag_environment_and_file(monkeypatch):
    Path(TOML).write_text("[kafka.event_time]\nmin = 1970-01-01T00:00:00Z\nmax_ahead = 'PT1H'\n")
    assert load().kafka.event_time == EventTimeSettings(
        min=datetime(1970, 1, 1, tzinfo=UTC), max_ahead=timedelta(hours=1)
    )
    monkeypatch.setenv("UNDERTOW_KAFKA__EVENT_TIME__MAX_AHEAD", "90m")
    assert load().kafka.event_time.max_ahead == timedelta(minutes=90)
    monkeypatch.setenv("UNDERTOW_KAFKA__EVENT_TIME__MAX_AHEAD", "P3650D")
    assert load().kafka.event_time.max_ahead == timedelta(days=3650)
    found = load(["kafka.event_time.max_ahead=90", "kafka.event_time.min=1900-01-01T00:00:00+01:00"]).kafka.event_time
    assert found.max_ahead == timedelta(seconds=90)
    assert ends_taken(KafkaSettings(event_time=found), 0) == [0]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("wrong", ["min=1980-01-01T00:00:00", "min=soon", "max_ahead=-1", "max_ahead=soon", "max=1"])
def test_what_is_no_time_with_a_zone_or_no_span_is_refused_by_its_key(wrong):
    with pytest.raises(Refused, match=rf"^kafka\.event_time\.{wrong.partition('=')[0]}: "):
        load([f"kafka.event_time.{wrong}"])
