"""Where a setting comes from, how its text is read, and what is refused."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from workers.cli import main
from workers.core.errors import Refused
from workers.settings import TOML, KafkaSettings, load


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, and an environment without settings."""
    for name in [name for name in os.environ if name.upper().startswith("UNDERTOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults(*overrides):
    with pytest.raises(Refused) as caught:
        load(overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_flags_go_before_the_environment_the_environment_before_the_file_and_the_file_before_defaults(
    here, monkeypatch
):
    (here / TOML).write_text('[kafka]\ntopic = "file"\ngroup = "file"\ndead_letters = "file"\n')
    monkeypatch.setenv("UNDERTOW_KAFKA__GROUP", "environment")
    monkeypatch.setenv("UNDERTOW_KAFKA__TOPIC", "environment")
    kafka = load(["kafka.topic=flag"]).kafka
    assert (kafka.topic, kafka.group, kafka.dead_letters) == ("flag", "environment", "file")
    assert kafka.bootstrap == KafkaSettings().bootstrap


def test_a_key_of_a_table_leaves_the_other_sources_their_keys(here, monkeypatch):
    (here / TOML).write_text("[kafka.extra]\nretries = 1\nlinger_ms = 1\n")
    monkeypatch.setenv("UNDERTOW_KAFKA__EXTRA", '{"linger_ms": 2, "acks": 2}')
    assert load(["kafka.extra.acks=3"]).kafka.extra == {"retries": 1, "linger_ms": 2, "acks": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("true", True),
        ("plain", "plain"),
        ('"7"', "7"),
        ("a=b", "a=b"),
        ("", ""),
        ("127.0.0.1:9092,[::1]:9092", "127.0.0.1:9092,[::1]:9092"),
        ('[1, "two"]', [1, "two"]),
        ("{ssl_check_hostname = false, depth = {n = 2}}", {"ssl_check_hostname": False, "depth": {"n": 2}}),
    ],
)
def test_a_flag_is_read_as_toml_and_else_as_it_stands(text, value):
    assert load([f"kafka.extra.it={text}"]).kafka.extra == {"it": value}


def test_the_last_of_two_flags_for_one_key_holds():
    assert load(["fleet.replicas=3", "fleet.replicas=4"]).fleet.replicas == 4


def test_all_faults_are_told_at_once_each_with_its_key(here, monkeypatch):
    (here / TOML).write_text('[offline]\ncheckpoint_seconds = 0\n[kafak]\ntopic = "x"\n')
    monkeypatch.setenv("UNDERTOW_MODEL__THREADS", "many")
    found = dict(fault.split(": ", 1) for fault in faults("fleet.replicas=0", "log_level=LOUD").split("; "))
    assert found.keys() == {"offline.checkpoint_seconds", "kafak", "model.threads", "fleet.replicas", "log_level"}
    assert "greater than 0" in found["offline.checkpoint_seconds"]
    assert "not permitted" in found["kafak"]


@pytest.mark.parametrize("override", ["kafka.topics=x", "topic=x", "kafka.topic.deep=x"])
def test_a_key_that_does_not_exist_is_refused_by_its_name(override):
    assert override.partition("=")[0].removesuffix(".deep") in faults(override)


@pytest.mark.parametrize("override", ["kafka.topic", "=x", "kafka.=x"])
def test_a_flag_without_a_key_or_a_value_is_refused_with_an_example(override):
    assert f"kafka.topic=windows; found {override!r}" in faults(override)


def test_a_value_and_keys_below_it_are_refused_together():
    assert "both a value and keys of its own: kafka.extra.retries" in faults("kafka.extra=1", "kafka.extra.retries=2")


@pytest.mark.parametrize("option", sorted(KafkaSettings.OWNED))
def test_an_option_that_delivery_depends_on_cannot_be_handed_to_kafka_python(option):
    assert f"kafka.extra must not set {option}" in faults(f"kafka.extra.{option}=1")


@pytest.mark.parametrize("overrides", [["kafka.dead_letters=windows"], ["kafka.topic=a", "kafka.dead_letters=a"]])
def test_rejects_may_not_go_back_to_the_topic_they_came_from(overrides):
    assert "kafka.dead_letters must be another topic than kafka.topic" in faults(*overrides)


def test_rejects_go_by_default_to_a_topic_named_after_the_source():
    assert load(["kafka.topic=tides"]).kafka.dead_letter_topic == "tides.rejects"


@pytest.mark.parametrize("content", [b"[kafka\n", b'[kafka]\ntopic = "\xff"\n'], ids=["syntax", "encoding"])
def test_a_file_that_is_not_toml_is_refused_by_its_name(here, content):
    (here / TOML).write_bytes(content)
    assert f"{TOML} is not valid TOML" in faults()


def test_an_environment_variable_that_is_not_json_is_refused_with_an_example(monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFKA__EXTRA", "{sasl_plain_password: hunter2}")
    text = faults()
    assert 'field "kafka"' in text
    assert "UNDERTOW_KAFKA__EXTRA='{" in text
    assert "hunter2" not in text


def test_secrets_are_handed_to_kafka_python_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFKA__PASSWORD", "hunter2")
    settings = load(["kafka.extra.ssl_password=hunter3"])
    options = settings.kafka.client_options()
    assert (options["sasl_plain_password"], options["ssl_password"]) == ("hunter2", "hunter3")
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.kafka),
        settings.model_dump_json(exclude={"kafka": {"extra"}}),
    ):
        assert "hunter" not in shown


def test_a_fault_in_a_secret_does_not_show_it():
    text = faults('kafka.password=["hunter2"]', 'kafka.extra.group_id="hunter2"')
    assert "kafka.password: " in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("registry", "words"), [("", "kafka.registry=http"), ("http://u:hush@registry:8081", "basic.auth.user.info")]
)
def test_a_format_with_a_registry_needs_its_address_without_credentials(registry, words):
    with pytest.raises(Refused, match=words) as refused:
        load(["kafka.format=avro-confluent", f"kafka.registry={registry}"])
    assert "hush" not in str(refused.value)


def test_a_misspelt_section_in_the_environment_is_refused_with_the_closest_name(monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFAK__TOPIC", "x")
    assert "did you mean UNDERTOW_KAFKA__...?" in faults()


def test_a_variable_of_the_feast_configuration_is_no_section(monkeypatch):
    monkeypatch.setenv("UNDERTOW_REDIS", "127.0.0.1:6379")
    load()


@pytest.mark.parametrize("text", ["folder/a", "2026", "true", "[a]", "a b"])
def test_the_path_of_one_artifact_is_taken_as_it_stands(monkeypatch, text):
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", text)
    model = load().model
    assert (model.artifact, model.artifacts) == (Path(text), (Path(text),))


def test_several_artifacts_are_a_list_in_the_file_in_a_flag_and_in_the_environment(here, monkeypatch):
    (here / TOML).write_text('[model]\nartifact = ["a", "b"]\n')
    assert load().model.artifacts == (Path("a"), Path("b"))
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", '["c", "d", "e"]')
    assert load().model.artifacts == (Path("c"), Path("d"), Path("e"))
    assert load(['model.artifact=["f", "g"]']).model.artifacts == (Path("f"), Path("g"))
    assert load(["model.artifact=f"]).model.artifacts == (Path("f"),)
    assert load(['model.artifact=["f"]']).model.artifact == Path("f")


@pytest.mark.parametrize("text", ["[]", "[1]", "{a = 1}"])
def test_what_is_no_path_is_refused_with_an_example(text):
    assert 'model.artifact: expected the folder of an artifact, or several as ["a", "b"]' in faults(
        f"model.artifact={text}"
    )


@pytest.mark.parametrize(
    "command", [["pack", "m.ckpt", "--name=n", "--tap=x"], ["produce", "."], ["view", "-o", "x.png"]]
)
def test_a_command_that_takes_one_artifact_says_how_to_choose_it(here, command):
    (here / "m.ckpt").touch()
    result = CliRunner().invoke(main, [*command, '--set=model.artifact=["a", "b"]'])
    assert result.exit_code == 1
    assert result.output.startswith("error: this command takes one artifact, and model.artifact names a, b; choose one")
