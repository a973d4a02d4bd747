"""One real broker with a listener for each way to log in, and the certificates that it and its clients hold."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.security.certificates import Authority
from undertow.core.errors import Refused
from undertow.devstack.kafka import STOP_S, KafkaServer, await_kafka, java_command, properties
from undertow.devstack.processes import LOCALHOST, Process, free_port, start, stop
from undertow.settings.sections import KafkaSettings

PASSWORD = "first-password"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
JAAS = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "OAUTHBEARER": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule",
}
VALIDATOR = (
    "org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
)
REAUTHENTICATE_MS = 4_000


@dataclass(frozen=True, kw_only=True)
class Secured:
    """The broker, by what its listeners ask for."""

    server: KafkaServer
    ports: dict[str, int]
    authority: Authority
    folder: Path

    def at(self, listener: str, **keys: Any) -> KafkaSettings:
        """Return settings for a listener."""
        return KafkaSettings(bootstrap=f"{LOCALHOST}:{self.ports[listener]}", **keys)


def token(*, expires_in_s: float = 3600, subject: str = "alice") -> str:
    """Return an unsecured JSON web token, which the broker's validator for tests takes."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": subject, "iat": now - 1, "exp": now + expires_in_s, "scope": "kafka"})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder, "authority")
    names = ("scram", "plain", "mtls", "oauth", "expired", "elsewhere")
    server = KafkaServer(folder=folder, port=free_port(), controller_port=free_port(), is_short_lived=True)
    found = Secured(server=server, ports={name: free_port() for name in names}, authority=authority, folder=folder)
    try:
        process = start_secured(found)
    except Refused as missing:
        pytest.skip(str(missing))
    try:
        await_kafka(server, process)
        yield found
    finally:
        stop(process, grace_seconds=STOP_S)
        shutil.rmtree(folder / "data")


def start_secured(secured: Secured) -> Process:
    server = secured.server
    server.config.write_text("".join(f"{k}={v}\n" for k, v in secured_properties(secured).items()))
    users = [f"--add-scram={name}=[name=alice,password={PASSWORD}]" for name in MECHANISMS[1:]]
    arguments = ("format", "--cluster-id=c2VjdXJlZC1zZWN1cmVkMQ", "-c", str(server.config), *users)
    with server.log.open("ab") as log:
        subprocess.run(
            java_command(server, "kafka.tools.StorageTool", *arguments, is_short_lived=True),
            stdout=log,
            stderr=log,
            check=True,
        )
    command = java_command(server, "kafka.Kafka", str(server.config), is_short_lived=True)
    return start(command, log=server.log, leashed=True)


def secured_properties(secured: Secured) -> dict[str, str]:
    """Return the plain broker's properties with listeners that ask for a login beside it."""
    authority, folder = secured.authority, secured.folder
    protocols = dict.fromkeys(secured.ports, "SSL") | {
        "scram": "SASL_PLAINTEXT", "plain": "SASL_SSL", "oauth": "SASL_PLAINTEXT"
    }  # fmt: skip
    pairs = {
        "plain": authority.sign("broker"),
        "mtls": authority.sign("broker-mtls"),
        "expired": authority.sign("broker-expired", is_expired=True),
        "elsewhere": authority.sign("broker-elsewhere", host="127.0.0.9"),
    }
    base = properties(secured.server)
    ours = "".join(f",{name.upper()}://{LOCALHOST}:{port}" for name, port in secured.ports.items())
    changes = {
        "listeners": base["listeners"] + ours,
        "advertised.listeners": base["advertised.listeners"] + ours,
        "listener.security.protocol.map": base["listener.security.protocol.map"]
        + "".join(f",{name.upper()}:{protocol}" for name, protocol in protocols.items()),
        "listener.name.scram.sasl.enabled.mechanisms": ",".join(MECHANISMS[1:]),
        "listener.name.scram.connections.max.reauth.ms": str(REAUTHENTICATE_MS),
        "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.plain.plain.sasl.jaas.config": f'{JAAS["PLAIN"]} required user_alice="{PASSWORD}";',
        "listener.name.oauth.connections.max.reauth.ms": str(REAUTHENTICATE_MS),
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{JAAS['OAUTHBEARER']} required;",
        "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": VALIDATOR,
        "listener.name.mtls.ssl.client.auth": "required",
    }
    for name in MECHANISMS[1:]:
        changes[f"listener.name.scram.{name.lower()}.sasl.jaas.config"] = f"{JAAS[name]} required;"
    for name, pair in pairs.items():
        (folder / f"{name}.keystore.pem").write_text(pair.both)
        changes |= {
            f"listener.name.{name}.ssl.keystore.type": "PEM",
            f"listener.name.{name}.ssl.keystore.location": str(folder / f"{name}.keystore.pem"),
            f"listener.name.{name}.ssl.truststore.type": "PEM",
            f"listener.name.{name}.ssl.truststore.location": str(authority.file),
        }
    return base | changes
