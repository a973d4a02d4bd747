"""Settings that were left empty, as by a variable that a script meant to fill: refused by their names."""

import pytest

from undertow.core.errors import Refused
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import load

pytestmark = pytest.mark.usefixtures("here")

BLANKS = [
    "kafka.bootstrap",
    "kafka.topic",
    "kafka.group",
    "model.artifact",
    "model.device",
    "feast.repo",
    "feast.config",
]
BLANKS += ["offline.path", "fleet.name", "fleet.address", "kafka.ca_file"]


def refusal(*overrides):
    with pytest.raises(Refused) as caught:
        load(overrides)
    return str(caught.value)


@pytest.mark.parametrize("key", BLANKS)
@pytest.mark.parametrize("blank", ["", " ", " \t "])
def test_nothing_or_spaces_where_something_is_needed_is_refused_by_the_setting_s_name(key, blank, monkeypatch):
    assert f"{key}: expected a value, found {'spaces' if blank else 'an empty text'}" in refusal(f"{key}={blank}")
    monkeypatch.setenv(f"UNDERTOW_{key.upper().replace('.', '__')}", blank)
    assert f"{key}: expected a value" in refusal()


def test_an_empty_text_stays_what_it_means_where_it_is_the_default():
    assert load(["kafka.dead_letters=", "kafka.username=", "kafka.registry="]).kafka == KafkaSettings()
    assert "kafka.dead_letters: expected a value, found spaces" in refusal("kafka.dead_letters= ")


def test_one_of_several_artifacts_without_a_name_is_refused():
    assert "model.artifact: expected a path, found an empty text" in refusal('model.artifact=["a", ""]')
