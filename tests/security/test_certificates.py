"""A certificate, a key or a password that is not as it must be is refused by the name of its setting, before any client
has it; no terminal is asked."""

import shutil

import pytest

from tests.security.certificates import Authority
from undertow.adapters.schema_registry import SchemaRegistry
from undertow.core.errors import Refused
from undertow.settings.sections import KafkaSettings

TLS = {"bootstrap": "localhost:1", "security_protocol": "SSL"}


@pytest.fixture
def files(tmp_path):
    """Files of every kind: whole ones, and such as are not what they should be."""
    authority = Authority(tmp_path, "authority")
    locked, other = authority.sign("alice", password="k3y"), authority.sign("bob")
    (tmp_path / "both").write_text(locked.both)
    (tmp_path / "garbage").write_text("garbage")
    (tmp_path / "password").write_text("k3y\n")
    return {
        "authority": authority.file,
        "certificate": locked.certificate,
        "locked": locked.key,
        "other": other.key,
        "both": tmp_path / "both",
        "garbage": tmp_path / "garbage",
        "password": tmp_path / "password",
        "folder": tmp_path,
        "nothing": tmp_path / "nothing",
    }


PAIR = {"cert_file": "certificate", "key_file": "locked"}
WRONG = [
    ({"ca_file": "nothing"}, "expected a file at", "kafka.ca_file"),
    ({"ca_file": "garbage"}, "expected certificates", "kafka.ca_file"),
    ({"extra": {"ssl_cafile": "garbage"}}, "expected certificates", "kafka.extra.ssl_cafile"),
    ({**PAIR, "cert_file": "nothing"}, "expected a file at", "kafka.cert_file"),
    ({**PAIR, "key_file": "nothing"}, "expected a file at", "kafka.key_file"),
    ({**PAIR, "cert_file": "folder"}, "expected a file at", "kafka.cert_file"),
    ({**PAIR, "cert_file": "garbage"}, "cannot be read", "kafka.cert_file"),
    ({**PAIR, "key_file": "garbage"}, "cannot be read", "kafka.key_file"),
    ({**PAIR, "key_file": "other"}, "is not that of the certificate", "kafka.key_file"),
    (PAIR, "is locked by a password, and none is given", "UNDERTOW_KAFKA__KEY_PASSWORD or kafka.key_password_file"),
    ({"cert_file": "both"}, "is locked by a password, and none is given", "kafka.cert_file"),
    ({"extra": {"ssl_certfile": "both"}}, "is locked by a password, and none is given", "kafka.extra.ssl_certfile"),
    ({**PAIR, "key_password": "wr0ng"}, "does not open the key", "kafka.key_password_file"),
    ({**PAIR, "key_password": "x" * 5000}, "cannot be read", "kafka.key_password_file"),
    ({"cert_file": "both", "key_password": "wr0ng"}, "does not open the key", "kafka.cert_file"),
]


def named(keys, files):
    return {
        key: named(value, files) if isinstance(value, dict) else files.get(value, value) for key, value in keys.items()
    }


@pytest.mark.parametrize(("keys", "words", "setting"), WRONG)
def test_what_is_not_as_it_must_be_is_refused_by_its_setting(files, keys, words, setting):
    with pytest.raises(Refused) as caught:
        KafkaSettings(**TLS, **named(keys, files)).client_options()
    said = str(caught.value)
    assert words in said
    assert setting in said
    assert "wr0ng" not in said


CERTIFICATE, KEY, PASSWORD = "ssl.certificate.location", "ssl.key.location", "ssl.key.password"
REGISTRY = {CERTIFICATE: "certificate", KEY: "locked"}
WRONG_OF_THE_REGISTRY = [
    ({"ssl.ca.location": "nothing"}, "expected a file at", "ssl.ca.location"),
    ({"ssl.ca.location": "garbage"}, "expected certificates", "ssl.ca.location"),
    ({"ssl.ca.location": ""}, "expected a file", "ssl.ca.location"),
    ({**REGISTRY, CERTIFICATE: "nothing"}, "expected a file at", CERTIFICATE),
    ({**REGISTRY, KEY: "nothing"}, "expected a file at", KEY),
    ({**REGISTRY, KEY: "garbage"}, "cannot be read", KEY),
    ({**REGISTRY, KEY: "other"}, "is not that of the certificate", KEY),
    (REGISTRY, "is locked by a password, and none is given", PASSWORD),
    ({CERTIFICATE: "both"}, "is locked by a password, and none is given", CERTIFICATE),
    ({**REGISTRY, PASSWORD: "wr0ng"}, "does not open the key", PASSWORD),
    ({KEY: "locked"}, "without a certificate", KEY),
    ({PASSWORD: "wr0ng"}, "without a certificate", PASSWORD),
]


def of_the_registry(extra, files):
    extra = {name: str(value) for name, value in named(extra, files).items()}
    return KafkaSettings(bootstrap="localhost:1", registry="https://localhost:1", registry_extra=extra)


@pytest.mark.parametrize(("extra", "words", "setting"), WRONG_OF_THE_REGISTRY)
def test_what_the_registry_s_client_would_ask_a_terminal_for_is_refused_by_its_setting(files, extra, words, setting):
    with pytest.raises(Refused) as caught:
        SchemaRegistry(of_the_registry(extra, files))
    said = str(caught.value)
    assert words in said
    assert f"kafka.registry_extra.{setting}" in said
    assert "wr0ng" not in said


@pytest.mark.parametrize(
    "extra", [{**REGISTRY, PASSWORD: "k3y"}, {CERTIFICATE: "both", PASSWORD: "k3y"}, {"ssl.ca.location": "authority"}]
)
def test_the_registry_s_client_takes_files_that_fit(files, extra):
    SchemaRegistry(of_the_registry(extra, files))


def test_all_keys_of_a_login_reach_kafka_python_by_its_own_names(files):
    keys = {"ca_file": "authority", **PAIR, "key_password_file": "password"}
    assert KafkaSettings(**TLS, **named(keys, files)).client_options() == {
        "bootstrap_servers": ["localhost:1"],
        "security_protocol": "SSL",
        "ssl_cafile": str(files["authority"]),
        "ssl_certfile": str(files["certificate"]),
        "ssl_keyfile": str(files["locked"]),
        "ssl_password": "k3y",
    }


def test_a_key_that_was_replaced_is_read_anew(files):
    settings = KafkaSettings(**TLS, **named(PAIR, files), key_password="k3y")
    settings.client_options()
    shutil.copy(files["other"], files["locked"])
    with pytest.raises(Refused, match="is not that of the certificate"):
        settings.client_options()
