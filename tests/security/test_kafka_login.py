"""Every way to log in to Kafka, on the real broker: the whole path, and what a login that fails says."""

import contextlib
import json
from functools import partial

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from tests.security.certificates import Authority
from tests.security.conftest import PASSWORD, token
from undertow.adapters.kafka_admin import committed, describe_topic, ensure_dead_letters, ensure_topic
from undertow.adapters.kafka_dead_letters import KafkaDeadLetters
from undertow.adapters.kafka_known import KafkaKnown
from undertow.adapters.kafka_producer import open_send
from undertow.adapters.kafka_replay import read_dead_letters, send_again
from undertow.adapters.kafka_source import KafkaSource
from undertow.core.errors import Refused, Unavailable
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition
from undertow.settings.sections import KafkaSettings

pytestmark = pytest.mark.kafka

CONTRACT = InputContract(
    series=(IdColumn(name="id", type="integer"),), past=(Column(name="x"),), min_length=1, max_length=9
)
decode = partial(decode_json, contract=CONTRACT, max_record_bytes=1 << 20)


def window(number: int) -> bytes:
    return json.dumps({"series": {"id": number}, "end": number, "past": {"x": [number]}}).encode()


def keys_of(secured, listener: str, mechanism: str = "", folder=None) -> dict:
    """The settings by which alice comes in."""
    login = {"sasl_mechanism": mechanism, "username": "alice", "password": PASSWORD}
    ours = {"security_protocol": "SASL_PLAINTEXT"}
    trusting = {"ca_file": secured.authority.file}
    if listener == "scram":
        return {**ours, **login}
    if listener == "plain":
        return {**login, **trusting, "security_protocol": "SASL_SSL"}
    if listener == "oauth":
        file = folder / "token"
        file.write_text(token() + "\n")
        return {**ours, "sasl_mechanism": "OAUTHBEARER", "oauth_token_file": file}
    pair = secured.authority.sign("alice", password="k3y")
    return {
        **trusting,
        "security_protocol": "SSL",
        "cert_file": pair.certificate,
        "key_file": pair.key,
        "key_password": "k3y",
    }


def refusal(settings: KafkaSettings) -> str:
    with pytest.raises(Refused) as caught:
        describe_topic(settings)
    text = str(caught.value)
    assert "\n" not in text
    assert not [secret for secret in settings.secrets() if secret in text]
    return text


WAYS = [("scram", "SCRAM-SHA-256"), ("scram", "SCRAM-SHA-512"), ("plain", "PLAIN"), ("mtls", ""), ("oauth", "")]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS, ids=lambda way: way or "-")
def test_windows_are_sent_read_committed_refused_and_replayed_through_each_login(
    secured, listener, mechanism, topic_name, tmp_path
):
    keys = keys_of(secured, listener, mechanism, tmp_path)
    settings = secured.at(listener, topic=topic_name, group=topic_name, **keys)
    ensure_topic(settings, topic_name)
    ensure_dead_letters(settings)
    assert describe_topic(settings).partitions == 1
    with open_send(settings) as send:
        send(None, window(7))
        send(None, b"no window")
    p0 = Partition(topic_name, 0)
    source, dead_letters = KafkaSource(settings, decode), KafkaDeadLetters(settings)
    source.assign({p0: 0})
    taken, rejects = [], []
    while len(taken) + len(rejects) < 2:
        if (delivery := source.poll(1.0)) is not None:
            taken += delivery.decoded.windows.series["id"].tolist()
            rejects += delivery.decoded.rejects
            source.commit(delivery.receipt)
    dead_letters.write(rejects)
    (letter,) = read_dead_letters(settings)
    assert (taken, letter.value) == ([7], b"no window")
    assert send_again(settings, [(letter, window(8))]) == 1
    assert committed(settings, [p0]) == {p0: 2}
    known = KafkaKnown(settings, topic_name)
    assert [record.offset for portion in known.read() for record in portion.records] == [0, 1, 2]
    known.close()
    source.close()
    dead_letters.close()


@pytest.mark.parametrize(("listener", "mechanism"), WAYS[:3], ids=lambda way: way)
def test_a_wrong_password_is_refused_at_once_with_the_settings_to_look_at(secured, listener, mechanism):
    keys = keys_of(secured, listener, mechanism) | {"password": "hush-hush"}
    said = refusal(secured.at(listener, **keys))
    assert "authentication failed" in said.lower()
    assert "kafka.password" in said


def test_a_mechanism_that_the_broker_does_not_have_is_refused(secured):
    said = refusal(secured.at("scram", **keys_of(secured, "scram", "PLAIN")))
    assert "kafka.sasl_mechanism" in said


def test_a_token_that_has_expired_is_refused(secured, tmp_path):
    keys = keys_of(secured, "oauth", folder=tmp_path)
    (tmp_path / "token").write_text(token(expires_in_s=-60))
    assert "kafka.oauth_token_file" in refusal(secured.at("oauth", **keys))


def test_a_token_that_is_not_there_is_refused_by_its_file(secured, tmp_path):
    keys = keys_of(secured, "oauth", folder=tmp_path)
    (tmp_path / "token").unlink()
    assert f"{tmp_path / 'token'} (kafka.oauth_token_file)" in refusal(secured.at("oauth", **keys))


def test_a_broker_whose_authority_we_do_not_trust_is_refused(secured, tmp_path):
    keys = keys_of(secured, "plain", "PLAIN") | {"ca_file": Authority(tmp_path, "stranger").file}
    said = refusal(secured.at("plain", **keys))
    assert "not trusted" in said
    assert "kafka.ca_file" in said


@pytest.mark.parametrize(("listener", "words"), [("expired", "expired"), ("elsewhere", "IP address mismatch")])
def test_a_certificate_that_is_too_old_or_of_another_host_is_refused(secured, listener, words):
    keys = {"security_protocol": "SSL", "ca_file": secured.authority.file}
    assert words in refusal(secured.at(listener, **keys))


@pytest.mark.parametrize("has_one", [False, True])
def test_without_a_certificate_that_the_broker_takes_we_are_refused(secured, tmp_path, has_one):
    keys = {"security_protocol": "SSL", "ca_file": secured.authority.file}
    if has_one:
        pair = Authority(tmp_path, "stranger").sign("alice")
        keys |= {"cert_file": pair.certificate, "key_file": pair.key}
    assert "kafka.cert_file" in refusal(secured.at("mtls", **keys))


@pytest.mark.parametrize("is_in_one_file", [False, True])
def test_a_locked_key_without_its_password_is_refused_and_no_terminal_is_asked(tmp_path, is_in_one_file):
    pair = Authority(tmp_path, "authority").sign("alice", password="k3y")
    keys = {"cert_file": pair.certificate, "key_file": pair.key}
    if is_in_one_file:
        (tmp_path / "both.pem").write_text(pair.both)
        keys = {"cert_file": tmp_path / "both.pem"}
    locked = KafkaSettings(bootstrap="localhost:1", security_protocol="SSL", **keys)
    with pytest.raises(Refused, match=r"is locked by a password.*UNDERTOW_KAFKA__KEY_PASSWORD"):
        locked.login_options()
    opened = KafkaSettings(bootstrap="localhost:1", security_protocol="SSL", key_password="k3y", **keys)
    assert opened.login_options()["ssl_password"] == "k3y"


def test_tls_spoken_to_a_port_without_it_is_refused(secured):
    keys = {"security_protocol": "SSL", "ca_file": secured.authority.file}
    assert "kafka.security_protocol" in refusal(secured.at("scram", **keys))


@pytest.mark.parametrize(("listener", "protocol"), [("mtls", "SSL"), ("plain", "SASL_SSL")])
def test_plain_text_to_a_port_of_tls_is_refused_with_the_protocol_that_it_speaks(secured, listener, protocol):
    login = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "username": "alice",
        "password": PASSWORD,
    }
    keys = {"extra": {"bootstrap_timeout_ms": 500}, **(login if listener == "plain" else {})}
    assert f"kafka.security_protocol = {protocol}" in refusal(secured.at(listener, **keys))


@pytest.mark.parametrize("listener", ["scram", "oauth"])
def test_a_login_that_ends_shows_in_a_running_source_and_its_return_is_enough(secured, listener, topic_name, tmp_path):
    keys = keys_of(secured, listener, "SCRAM-SHA-256", tmp_path)
    settings = secured.at(listener, topic=topic_name, **keys)
    open_door = KafkaSettings(bootstrap=secured.server.address, topic=topic_name)

    def let_in(is_welcome: bool) -> None:
        if listener == "oauth":
            (tmp_path / "token").write_text(token(expires_in_s=3600 if is_welcome else -60))
        else:
            set_password(open_door, PASSWORD if is_welcome else "another-password")

    ensure_topic(open_door, topic_name)
    source = KafkaSource(settings, decode)
    source.assign({Partition(topic_name, 0): 0})
    let_in(False)
    with pytest.raises(Unavailable, match=r"let us in again.*kafka\.password") as caught:
        poll_for_ever(source)  # the broker asks again every few seconds
    assert PASSWORD not in str(caught.value)
    let_in(True)
    with open_send(open_door) as send:
        send(None, window(3))
    delivery = None
    while delivery is None:
        with contextlib.suppress(Unavailable):
            delivery = source.poll(0.5)
    assert delivery.decoded.windows.series["id"].tolist() == [3]
    source.close()


def poll_for_ever(source: KafkaSource) -> None:
    while True:
        source.poll(0.5)


def set_password(settings: KafkaSettings, password: str) -> None:
    login = UserScramCredentialUpsertion(user="alice", mechanism=ScramMechanism.SCRAM_SHA_256, password=password)
    with KafkaAdminClient(bootstrap_servers=settings.bootstrap) as admin:
        admin.alter_user_scram_credentials([login])
