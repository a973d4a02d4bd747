"""What keeps a command from attaching to a fleet that runs, said in the words of its settings."""

from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from undertow.fleet.differences import differences
from undertow.settings.sections import FleetSettings, KafkaSettings


@dataclass(frozen=True)
class Artifact:
    view: str
    definition: str = ""


@dataclass(frozen=True)
class Recipe:
    """Shaped as a `StreamRecipe` is: what is compared is whatever fields there are."""

    kafka: KafkaSettings
    fleet: FleetSettings = field(default_factory=FleetSettings)
    partitions: int = 4
    artifacts: tuple[Artifact, ...] = (Artifact("one"), Artifact("two"))
    config: Any = field(default="secret of Feast", repr=False)


LOGIN = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "me"}
RUNNING = Recipe(KafkaSettings(topic="a", password=SecretStr("hunter2"), extra={"ssl_password": "hunter3"}, **LOGIN))


def changed(**kafka):
    return replace(RUNNING, kafka=RUNNING.kafka.model_copy(update=kafka))


def test_the_same_settings_differ_in_nothing_and_partitions_that_were_added_are_no_difference():
    assert differences(RUNNING, changed()) == []
    assert differences(RUNNING, replace(RUNNING, partitions=8)) == []


def test_the_address_by_which_a_fleet_was_found_and_how_it_was_started_are_no_difference():
    assert differences(RUNNING, replace(RUNNING, fleet=FleetSettings(address="auto", force=True))) == []


def test_every_setting_that_differs_is_named_with_both_values():
    assert differences(RUNNING, replace(changed(topic="b", group="g"), fleet=FleetSettings(replicas=3))) == [
        "kafka.topic is 'a' there and 'b' here",
        "kafka.group is 'undertow' there and 'g' here",
        "fleet.replicas is '2' there and '3' here",
    ]


def test_what_may_be_secret_is_named_and_not_shown():
    wanted = replace(changed(password=SecretStr("hunter4"), extra={"ssl_password": "hunter5"}), config="another secret")
    assert differences(RUNNING, wanted) == ["kafka.password", "kafka.extra", "config"]


def test_long_values_are_named_only():
    assert differences(RUNNING, changed(topic="t" * 100)) == ["kafka.topic"]


def test_of_several_artifacts_the_one_that_differs_is_named():
    artifacts = (Artifact("one", definition="of another day"), Artifact("three"))
    assert differences(RUNNING, replace(RUNNING, artifacts=artifacts)) == [
        "artifacts.1.view is 'two' there and 'three' here"
    ]
    assert differences(RUNNING, replace(RUNNING, artifacts=artifacts[:1])) == ["artifacts"]
