"""What is missing, away or damaged stops a command at its start: one line, which names the setting or the remedy."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.group_members import group_member
from undertow.adapters.kafka_admin import ensure_topic
from undertow.cli.main import main
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.settings.sections import KafkaSettings
from undertow.settings.settings import load
from undertow.wiring.stores import apply_artifact

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

FEATURE_REPO = Path(__file__).parents[2] / "feature_repo"
TOPIC = "windows-of-refusals"


@pytest.fixture(scope="module")
def given(packed, kafka_bootstrap, redis_address, tmp_path_factory):
    """Settings with which every command would work: what a test adds to them is its fault."""
    folder = tmp_path_factory.mktemp("refusals")
    shutil.copytree(FEATURE_REPO, folder / "repo", ignore=shutil.ignore_patterns("data", "*.json"))
    settings = {
        "kafka.bootstrap": kafka_bootstrap,
        "kafka.topic": TOPIC,
        "kafka.group": TOPIC,
        "model.artifact": packed.artifact,
        "feast.repo": folder / "repo",
        "feast.config": "feature_store.redis.yaml",
        "offline.path": folder / "offline",
        "fleet.name": TOPIC,
        "fleet.replicas": 1,
    }
    options = [f"--set={key}={value}" for key, value in settings.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERTOW_REDIS", redis_address)
        ensure_topic(KafkaSettings(bootstrap=kafka_bootstrap), TOPIC, partitions=2)
        apply_artifact(load(option.removeprefix("--set=") for option in options))
        yield options


@pytest.fixture
def refusal(given):
    """Return a function that runs a command which must refuse, and returns its only line."""

    def run(command, *arguments, code=1, **faults):
        wrong = [f"--set={key.replace('__', '.')}={value}" for key, value in faults.items()]
        result = CliRunner().invoke(main, [command, *given, *wrong, *map(str, arguments)])
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code
        *usage, line = result.output.splitlines()
        assert line.startswith("Error: " if code == 2 else "error: ")
        assert bool(usage) == (code == 2)
        return line

    return run


@pytest.fixture(params=["run", "backfill"])
def start(request, refusal, tmp_path):
    """The two commands that embed; what is refused comes before a look at the history, which here is empty."""
    return lambda **faults: refusal(request.param, *[tmp_path] * (request.param == "backfill"), **faults)


@pytest.fixture
def artifact(packed, tmp_path):
    """A copy of the artifact, to be damaged."""
    return shutil.copytree(packed.artifact, tmp_path / "artifact")


def test_a_broker_that_is_away_is_named_with_its_setting(refusal):
    address = f"{LOCALHOST}:{free_port()}"
    line = refusal("run", kafka__bootstrap=address, kafka__extra__bootstrap_timeout_ms=500)
    assert f"{address} (kafka.bootstrap)" in line
    assert "undertow up" in line


def test_a_missing_topic_comes_with_the_command_that_makes_it(refusal):
    line = refusal("run", kafka__topic="nowhere")
    assert '"nowhere" (kafka.topic)' in line
    assert "kafka-topics.sh" in line
    assert "--create --topic nowhere" in line


def test_a_group_that_somebody_is_subscribed_to_is_refused(refusal, kafka_bootstrap, topic_name):
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic=TOPIC, group=topic_name)
    with group_member(kafka, client_id="a-dashboard"):
        line = refusal("run", kafka__group=topic_name)
    assert f'"{topic_name}" (kafka.group)' in line
    assert "a-dashboard" in line


def test_a_missing_artifact_comes_with_the_command_that_makes_one(start, tmp_path):
    line = start(model__artifact=tmp_path / "nothing")
    assert str(tmp_path / "nothing") in line
    assert "undertow pack" in line


def test_weights_with_one_flipped_bit_are_refused_before_anything_starts(start, artifact):
    file = artifact / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    line = start(model__artifact=artifact)
    assert str(file) in line
    assert "copy or pack the artifact again" in line


def test_a_truncated_manifest_is_refused(start, artifact):
    file = artifact / "manifest.json"
    file.write_bytes(file.read_bytes()[:-100])
    line = start(model__artifact=artifact)
    assert str(file) in line
    assert "pack the artifact again" in line


def test_a_view_that_was_not_applied_comes_with_the_command_that_applies_it(start, tmp_path):
    shutil.copytree(FEATURE_REPO, tmp_path / "repo", ignore=shutil.ignore_patterns("data", "*.json"))
    line = start(feast__repo=tmp_path / "repo")
    assert "no view pumps__" in line
    assert "undertow apply" in line


def test_a_missing_feast_repository_is_named_with_its_settings(start, tmp_path):
    assert "feast.repo and feast.config" in start(feast__repo=tmp_path / "nothing")


def test_a_redis_that_is_away_is_named_with_the_place_of_its_address(refusal, monkeypatch, tmp_path):
    address = f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("UNDERTOW_REDIS", address)
    line = refusal("backfill", tmp_path)  # `run` waits for it
    assert f"{address} (UNDERTOW_REDIS, or online_store.connection_string of the Feast config)" in line


def test_history_of_another_shape_is_refused_before_ray_is_looked_for(refusal, tmp_path):
    table = pa.table({"pump": ["p001"], "time": pa.array([1], pa.timestamp("us", tz="UTC")), "flow": [0.5]})
    pq.write_table(table, tmp_path / "flat.parquet")
    line = refusal("backfill", tmp_path / "flat.parquet", fleet__address=f"{LOCALHOST}:{free_port()}")
    assert f"{tmp_path / 'flat.parquet'} cannot hold windows for this artifact: series.pump: expected strings" in line
    assert "undertow describe" in line


def test_an_environment_variable_that_the_feast_config_needs_is_named(start, monkeypatch):
    monkeypatch.delenv("UNDERTOW_REDIS")
    assert "UNDERTOW_REDIS, which is not set" in start()


@pytest.mark.ray
@pytest.mark.expects_errors
@pytest.mark.usefixtures("ray_session")
def test_what_only_a_replica_can_find_ends_the_fleet_with_one_line(given):
    options = ["--set=kafka.extra.fetch_max_wait_ms=9000000"]  # longer than a request may last
    result = CliRunner().invoke(main, ["run", *given, *options])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    *_table, line = result.output.splitlines()
    assert line.startswith("error: Refused: ")
    assert "kafka.extra" in line


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (["tides", "pump=p001"], "serves no 'tides', but: pumps; run: undertow apply", 1),
        (["pumps", "pump=nobody"], "pumps has no embedding of pump=nobody: nothing was written", 1),
        (["pumps", "pump=p001", "pump=p002"], "expected each id once, found pump=p001 pump=p002", 2),
        (["pumps", "p001"], "id=value, for example wearer=s08; found 'p001'", 2),
        (["pumps", "well=p001"], "expected the ids pump; found well", 2),
    ],
    ids=["service", "series", "twice", "key", "id"],
)
def test_a_lookup_of_what_is_not_there_says_what_there_is(refusal, arguments, said, code):
    assert said in refusal("get", *arguments, code=code)


def test_a_lookup_says_that_redis_is_away(refusal, monkeypatch):
    address = f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("UNDERTOW_REDIS", address)
    assert address in refusal("get", "pumps", "pump=p001")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("command", ["status", "drain"])
def test_a_fleet_that_does_not_run_is_named_with_its_settings(refusal, command):
    assert "fleet.address" in refusal(command)
