"""Where a setting comes from, how its text is read, and what is refused."""

import re
from pathlib import Path

import pytest

from undertow.core.errors import Refused
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import TOML, load

pytestmark = pytest.mark.usefixtures("here")


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
    assert found["kafak"] == "there is no such setting: did you mean kafka?"
    assert found["fleet.replicas"].endswith("found 0")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("fleet.replcas=2", "fleet.replcas: there is no such setting: did you mean fleet.replicas?"),
        ("kafka.event_time.mim=3", "there is no such setting: did you mean kafka.event_time.min?"),
        ("fleet.xyzzy=1", "there is no such setting: undertow check shows all that there are"),
        ("fleet.replicas=many", "valid integer, unable to parse string as an integer, found 'many'"),
        ("kafka.format=xml", "or 'avro-confluent', found 'xml'"),
    ],
)
def test_what_is_refused_is_told_with_what_was_found_or_meant(override, told):
    assert told in faults(override)


@pytest.mark.parametrize("override", ["kafka.topics=x", "topic=x", "kafka.topic.deep=x"])
def test_a_key_that_does_not_exist_is_refused_by_its_name(override):
    assert override.partition("=")[0].removesuffix(".deep") in faults(override)


@pytest.mark.parametrize("override", ["kafka.topic", "=x", "kafka.=x"])
def test_a_flag_without_a_key_or_a_value_is_refused_with_an_example(override):
    assert "kafka.topic=windows; found no" in faults(override)


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


PLAIN = ("kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN", "kafka.username=me")


def test_secrets_are_handed_to_kafka_python_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFKA__PASSWORD", "hunter2")
    monkeypatch.setenv("UNDERTOW_KAFKA__EXTRA__SSL_PASSWORD", "hunter3")
    settings = load(PLAIN)
    options = settings.kafka.client_options()
    assert (options["sasl_plain_password"], options["ssl_password"]) == ("hunter2", "hunter3")
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.kafka),
        settings.model_dump_json(exclude={"kafka": {"extra"}}),
    ):
        assert "hunter" not in shown


def test_a_secret_may_stand_in_a_file_that_is_read_when_it_is_needed(here, monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFKA__PASSWORD_FILE", str(here / "password"))
    kafka = load(PLAIN).kafka
    with pytest.raises(Refused, match=r"password \(kafka.password_file\): No such file"):
        kafka.client_options()
    (here / "password").write_text("\n")
    with pytest.raises(Refused, match=r"password \(kafka.password_file\), but the file holds none"):
        kafka.client_options()
    (here / "password").write_text(" hunter2 \n")
    assert kafka.client_options()["sasl_plain_password"] == " hunter2 "
    assert "hunter2" not in repr(kafka)


@pytest.mark.parametrize(
    "override",
    [
        "kafka.password=hunter2",
        'kafka.password=["hunter2"]',
        'kafka.extra.group_id.ssl_password="hunter2"',
        'kafka.extra={sasl_plain_password="hunter2"}',
        'kafka={password="hunter2"}',
        "kafka.registry_credentials=me:hunter2",
        "kafka.extra.proxy_url=http://me:hunter2@proxy",
        "kafka.registry=http://me:hunter2@registry",
        "=hunter2",
        "hunter2",
        "kafka.password hunter2",
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(override):
    text = faults(override)
    assert "hunter2" not in text
    assert "UNDERTOW_KAFKA__" in text or "--set takes section.key=value" in text


def test_whoever_types_a_password_is_told_where_it_belongs():
    text = faults("kafka.password=hunter2")
    assert "UNDERTOW_KAFKA__PASSWORD in the environment" in text
    assert "--set kafka.password_file=/run/secrets/" in text


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"username": "me"}, "kafka.username is set, but kafka.security_protocol = PLAINTEXT has no login"),
        ({"security_protocol": "SSL", "password": "p"}, "kafka.password is set, but kafka.security_protocol = SSL"),
        ({"ca_file": "ca"}, "kafka.ca_file is set, but kafka.security_protocol = PLAINTEXT has no TLS"),
        ({"security_protocol": "SASL_SSL"}, "needs kafka.sasl_mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "password": "p"}, "needs kafka.username"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "me"}, "needs a password"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "needs kafka.oauth_token_file"),
        (
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "oauth_token_file": "t",
                "username": "u",
            },
            "takes no username",
        ),
        (
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "username": "u",
                "password": "p",
                "oauth_token_file": "t",
            },
            "takes no token",
        ),
        ({"security_protocol": "SSL", "key_file": "k"}, "kafka.key_file needs kafka.cert_file"),
        (
            {"security_protocol": "SSL", "cert_file": "c", "key_password": "p", "key_password_file": "f"},
            "kafka.key_password and kafka.key_password_file are both set",
        ),
        (
            {"security_protocol": "SSL", "ca_file": "c", "extra": {"ssl_cafile": "c"}},
            "kafka.ca_file is also set as ssl_cafile in kafka.extra",
        ),
        (
            {"registry_credentials": "u:p", "registry_extra": {"basic.auth.user.info": "u:p"}},
            "login is set more than once",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_keys(keys, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        KafkaSettings(**keys)


def test_options_of_kafka_python_count_as_much_as_our_keys_for_them():
    extra = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "me"}
    assert KafkaSettings(extra=extra, password="hunter2").client_options()["sasl_plain_password"] == "hunter2"


@pytest.mark.parametrize(
    ("registry", "words"), [("", "kafka.registry=http"), ("http://u:hush@registry:8081", "KAFKA__REGISTRY")]
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


OPERATIONS = Path(__file__).parents[2] / "deploy" / "OPERATIONS.md"
LOGIN = re.compile(r"^```bash\n((?:export UNDERTOW_KAFKA__SECURITY.*\n)(?:export .*\n)*)```", re.MULTILINE)
LOGINS = LOGIN.findall(OPERATIONS.read_text())


@pytest.mark.parametrize("block", LOGINS)
def test_each_login_on_the_page_for_operators_is_one_that_holds_together(monkeypatch, block):
    for name, value in re.findall(r"(UNDERTOW_\w+)=(\S+)", block):
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused, match="expected a file at /") as caught:  # which the operator has
        load().kafka.client_options()
    assert "kafka." in str(caught.value)


def test_the_page_for_operators_shows_three_logins():
    assert len(LOGINS) == 3
