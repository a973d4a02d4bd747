"""One secret wherever one is accepted, and servers that fail: nothing that we print, log or write shows it."""

import logging
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray
from click.testing import CliRunner

from tests.fleet.live import running, wait_until, with_fleet
from tests.fleet.test_metrics import a_fleet, a_part, a_replica
from undertow.cli.main import main
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.fleet.metrics import fleet_readings, replica_readings
from undertow.fleet.run import once_ready
from undertow.settings.settings import load
from undertow.stream.counts import Counts
from undertow.telemetry.logs import Line
from undertow.wiring.root import stream_recipe

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

CANARY = "c4n4ry-s1ngs"


@pytest.fixture(autouse=True)
def _place(make_place, monkeypatch, caplog):
    """A place whose settings are in the environment, with a secret in all that a working fleet may carry along."""
    settings = make_place(partitions=2).settings
    for section, values in settings.model_dump(exclude_unset=True).items():
        for key, value in values.items():
            monkeypatch.setenv(f"UNDERTOW_{section}__{key}".upper(), str(value))
    monkeypatch.setenv("UNDERTOW_KAFKA__EXTRA__SSL_PASSWORD", CANARY)
    monkeypatch.setenv("UNDERTOW_KAFKA__REGISTRY_EXTRA", f'{{"bearer.auth.token": "{CANARY}"}}')
    monkeypatch.setenv("UNDERTOW_KAFKA__REGISTRY_CREDENTIALS", f"me:{CANARY}")
    caplog.set_level(logging.INFO)


@pytest.fixture
def said(caplog, tmp_path):
    """Return a function that runs commands and returns all that came of them: output, errors, logs, files."""

    def run(*commands):
        outputs = []
        for command in commands:
            result = CliRunner().invoke(main, command)
            assert isinstance(result.exception, SystemExit), result.exception
            assert (command[0], result.exit_code) == (command[0], 1)
            assert "Traceback" not in result.output
            outputs.append(result.output)
        files = [path.read_bytes().decode(errors="replace") for path in Path(tmp_path).rglob("*") if path.is_file()]
        return "\n".join([*outputs, caplog.text, *files])

    return run


def test_a_broker_that_does_not_let_us_in(said, monkeypatch, tmp_path_factory):
    file = tmp_path_factory.mktemp("run-secrets") / "password"
    file.write_text(CANARY + "\n")
    monkeypatch.setenv("UNDERTOW_KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")  # the broker takes no login
    monkeypatch.setenv("UNDERTOW_KAFKA__SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("UNDERTOW_KAFKA__USERNAME", "me")
    monkeypatch.setenv("UNDERTOW_KAFKA__PASSWORD_FILE", str(file))
    text = said(["check"], ["run"], ["replay"])
    assert "kafka.sasl_mechanism" in text
    assert CANARY not in text


@pytest.mark.parametrize("form", ["{},username=me,password={}", "redis://me:{1}@{0}", "redis://me:%2C{1}@{0}/1"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_store_that_does_not_let_us_in_or_is_away(said, monkeypatch, is_there, form, redis_address):
    address = redis_address if is_there else f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("UNDERTOW_REDIS", form.format(address, CANARY))
    text = said(["check"], *([["run"]] if is_there else ()), ["get", "pumps", "pump=p001"])
    if not is_there:  # `run` waits for it
        lines: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            once_ready(lambda: stream_recipe(load()), lines.append, _interrupt)
        text += "\n".join(lines)
        assert address in lines[0]
    assert address in text
    assert CANARY not in text


def _interrupt(_seconds):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "connection",
    [
        f"password={CANARY},{CANARY}",
        f"password=x,{CANARY}:12",
        f'password={CANARY}"]: "{CANARY}',
        f"Password={CANARY}",
        f" password={CANARY}",
        f"{CANARY}={CANARY}",
        f"password={CANARY},db=abc",
        f"password={CANARY},foo=1",
        f"redis://:{CANARY}@h:x",
        f"redis://me:1/{CANARY}@h:1",
        f"me:{CANARY}@h:1",
    ],
)
def test_a_connection_that_is_misread(said, monkeypatch, connection):
    is_whole = "@" in connection
    monkeypatch.setenv("UNDERTOW_REDIS", connection if is_whole else f"{LOCALHOST}:6379,{connection}")
    text = said(["check"], ["run"], ["apply"], ["get", "pumps", "pump=p001"])
    assert CANARY not in text
    assert "UNDERTOW_REDIS" in text or "is no YAML" in text


def test_no_metric_shows_what_a_store_that_fails_has_said():
    part = a_part(blocked=f"Redis at h:1 says {CANARY}", counts=Counts(last_reject={"number": CANARY}))
    replica = replace(
        a_replica(part), error=CANARY, lines=(Line(at=1, level="INFO", replica="", event="e", text=CANARY),)
    )
    fleet = replace(a_fleet(1), replicas=(replica,), message=CANARY)
    readings = [*replica_readings("f", replica, 104.0), *fleet_readings(fleet)]
    assert CANARY in repr(fleet)
    assert CANARY not in repr(readings)


def test_what_is_handed_to_ray_does_not_show_it():
    recipe = stream_recipe(load())
    assert recipe.kafka.extra == {"ssl_password": CANARY}
    assert CANARY not in repr(recipe)
    assert CANARY not in str(recipe.kafka)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_no_record_of_ray_s_shows_what_a_running_fleet_was_given():
    settings = load()
    with running(with_fleet(settings)) as fleet:
        wait_until(fleet, lambda status: any(one.held for one in status.replicas))
        node = ray._private.worker._global_node
        assert node is not None
        session = Path(node.get_session_dir_path())
        logs = [path.read_bytes().decode(errors="replace") for path in session.rglob("*") if path.is_file()]
        commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        told = [repr(ray.nodes()), repr(fleet.status()), str(ray.util.list_named_actors(all_namespaces=True))]
    assert len(logs) > 10
    assert any("ReplicaActor" in command for command in commands)
    assert [text[:200] for text in (*logs, *commands, *told) if CANARY in text] == []
