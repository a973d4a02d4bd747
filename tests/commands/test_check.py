"""`undertow check` where nothing is there: every setting with its origin, no secret, and what is missing."""

import os
import re

import pytest
from click.testing import CliRunner

from tests.rights import bound_by_rights
from undertow.adapters.offline_parts import encode_part, no_rows
from undertow.adapters.offline_root import claim_folder
from undertow.cli.main import main
from undertow.commands.check import _flat
from undertow.devstack.processes import LOCALHOST, free_port
from undertow.schemas.contract import IdColumn
from undertow.schemas.spaces import SpaceView
from undertow.settings.settings import TOML, Settings


@pytest.fixture(autouse=True)
def broker(tmp_path, monkeypatch):
    """An empty working folder, no settings in the environment but the address of a broker that is away."""
    for name in [name for name in os.environ if name.upper().startswith("UNDERTOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    address = f"{LOCALHOST}:{free_port()}"
    monkeypatch.setenv("UNDERTOW_KAFKA__BOOTSTRAP", address)
    return address


def check(*overrides, code=1):
    """Run it for a broker that gets a moment to answer; return what it printed."""
    options = [f"--set={override}" for override in ("kafka.extra.bootstrap_timeout_ms=200", *overrides)]
    result = CliRunner().invoke(main, ["check", *options])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    return result.output


def rows(output):
    """Read the table back; a long value goes on in rows without a key."""
    table: dict[str, list[str]] = {}
    key = ""
    for line in output.splitlines():
        if line.startswith("│"):
            found, *cells = (cell.strip() for cell in line.split("│")[1:4])
            key = found or key
            table[key] = ["".join(parts) for parts in zip(table.get(key, ["", ""]), cells, strict=True)]
    return table


def test_every_setting_is_shown_whole_with_where_it_came_from(tmp_path, monkeypatch, broker):
    (tmp_path / TOML).write_text('[fleet]\nreplicas = 3\nname = "file"\n[kafka.extra]\nretries = 4\n')
    monkeypatch.setenv("UNDERTOW_FLEET__HEARTBEAT_TIMEOUT_SECONDS", "7")
    long = "folder/" * 20 + "[bold]"
    table = rows(check("fleet.name=flag", f"model.artifact={long}"))
    assert {key for key, _ in _flat(Settings().model_dump())} - table.keys() == set()
    assert table["fleet.name"] == ["flag", "--set"]
    assert table["model.artifact"] == [long, "--set"]
    assert table["kafka.bootstrap"] == [broker, "UNDERTOW_KAFKA__BOOTSTRAP"]
    assert table["fleet.heartbeat_timeout_seconds"] == ["7.0", "UNDERTOW_FLEET__HEARTBEAT_TIMEOUT_SECONDS"]
    assert table["fleet.replicas"] == ["3", TOML]
    assert table["kafka.extra.retries"] == ["4", TOML]
    assert table["fleet.num_cpus"] == ["1.0", "default"]


def test_no_secret_is_shown_wherever_it_came_from(tmp_path, monkeypatch):
    (tmp_path / TOML).write_text(
        '[kafka.extra]\nssl_password = "hunter1"\nproxy_url = "http://me:hunter2@proxy"\n'
        '[kafka.registry_extra]\n"bearer.auth.token" = "hunter3"\n"ssl.key.location" = "key.pem"\n'
    )
    (tmp_path / "secret").write_text("hunter4\n")
    monkeypatch.setenv("UNDERTOW_KAFKA__PASSWORD", "hunter5")
    monkeypatch.setenv("UNDERTOW_KAFKA__REGISTRY_CREDENTIALS_FILE", "secret")
    monkeypatch.setenv("UNDERTOW_KAFKA__EXTRA__CLIENT_SECRET", "hunter6")
    output = check(
        "kafka.security_protocol=SASL_SSL", "kafka.sasl_mechanism=PLAIN", "kafka.username=me", "kafka.registry=http://x"
    )
    assert "hunter" not in output
    table = rows(output)
    assert table["kafka.password"] == ["***", "UNDERTOW_KAFKA__PASSWORD"]
    assert table["kafka.extra.ssl_password"] == ["***", TOML]
    assert table["kafka.extra.proxy_url"] == ["http://***@proxy", TOML]
    assert table["kafka.extra.client_secret"] == ["***", "UNDERTOW_KAFKA__EXTRA__CLIENT_SECRET"]
    assert table["kafka.registry_extra.bearer.auth.token"] == ["***", TOML]
    assert table["kafka.registry_extra.ssl.key.location"] == ["key.pem", TOML]
    assert table["kafka.registry_credentials_file"] == ["secret", "UNDERTOW_KAFKA__REGISTRY_CREDENTIALS_FILE"]


def test_each_part_that_cannot_be_reached_has_one_failed_line_with_its_setting_or_remedy(broker):
    output = check()
    failed = dict(re.findall(r"^failed +([a-z ]+): (.*)$", output, re.MULTILINE))
    assert list(failed) == ["artifact", "kafka", "online store"]
    assert "undertow pack" in failed["artifact"]
    assert f"{broker} (kafka.bootstrap)" in failed["kafka"]
    assert output.count("none answered") == 1
    assert re.findall(r"^skipped .*", output, re.MULTILINE) == [
        "skipped dead letters: no broker",
        "skipped group: no broker",
    ]
    assert "Traceback" not in output


def test_of_a_log_that_is_not_there_it_is_told_who_makes_it_and_that_its_place_can_be_written(tmp_path):
    made = f"undertow run or undertow backfill makes it: {tmp_path} can be written"
    assert check().splitlines()[-1] == f"ok      offline log: .undertow/offline is not there yet; {made}"
    (tmp_path / ".undertow/offline").mkdir(parents=True)
    assert check().splitlines()[-1] == (
        "ok      offline log: .undertow/offline, which can be written; no partition has a part there yet"
    )


@pytest.mark.parametrize("path", ["log", "log/deeper"])
def test_a_log_where_a_file_lies_is_told(path, tmp_path):
    (tmp_path / "log").write_text("no folder")
    assert check(f"offline.path={path}").splitlines()[-1] == (
        f"failed  offline log: offline.path = {path} cannot be a folder: {tmp_path}/log is a file"
    )


@pytest.mark.kafka
def test_where_only_the_topic_is_missing_all_else_is_asked_of_the_broker(kafka_bootstrap, topic_name):
    output = check(f"kafka.bootstrap={kafka_bootstrap}", f"kafka.topic={topic_name}")
    assert f'failed  kafka: expected the topic "{topic_name}"' in output
    assert f"ok      dead letters: there is no topic {topic_name}.rejects yet" in output
    assert "ok      group: undertow is free" in output
    assert "skipped" not in output


def test_a_log_in_a_folder_that_is_closed_to_this_user_is_told_with_who_that_is(tmp_path):
    (tmp_path / "log").mkdir(mode=0o500)
    output = bound_by_rights(lambda: check("offline.path=log/here"))
    expected = f"{tmp_path}/log is closed to this user (uid {os.geteuid()}); give it the right to write there"
    assert output.splitlines()[-1] == f"failed  offline log: offline.path = log/here cannot be written: {expected}"


def test_a_log_on_a_file_system_that_is_read_only_is_not_told_to_be_a_matter_of_rights(tmp_path, monkeypatch):
    found = os.statvfs(tmp_path)
    read_only = os.statvfs_result([*found[:8], found.f_flag | os.ST_RDONLY, found.f_namemax])
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert (
        check()
        .splitlines()[-1]
        .endswith(f"{tmp_path} lies on a file system that is mounted read-only; mount a disk or a volume there")
    )


def test_settings_that_do_not_hold_are_refused_before_anything_is_looked_at():
    assert check("fleet.replicas=0", code=2).splitlines()[-1] == (
        "Error: fleet.replicas: Input should be greater than or equal to 1, found 0"
    )


def test_a_format_without_its_registry_is_one_failed_line_and_its_credentials_are_masked(monkeypatch):
    monkeypatch.setenv("UNDERTOW_KAFKA__REGISTRY_EXTRA", '{"basic.auth.user.info": "me:hush"}')
    shown = check("kafka.format=avro-confluent", f"kafka.registry=http://{LOCALHOST}:9")
    assert "failed  format: the schema registry http://127.0.0.1:9 (kafka.registry) did not answer" in shown
    assert "hush" not in shown


def test_the_whole_log_is_read_where_asked_for_and_each_damaged_file_has_a_line(tmp_path):
    view = SpaceView(name="v", space="5" * 64, series=(IdColumn(name="site", type="string"),), features=(("f", 2),))
    folder = claim_folder(tmp_path / "log", view) / "@backfill" / "job"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.parquet").write_bytes(encode_part(no_rows(view), view, metadata={}))
    assert "offline log, read whole" not in check("offline.path=log")
    assert re.search(r"ok      offline log, read whole: 3 files of .* MB read whole, 0 faults", verified())
    for number in (0, 2):
        path = folder / f"{number}.parquet"
        path.write_bytes(path.read_bytes()[:-50] + b"?" + path.read_bytes()[-49:])
    told = verified()
    assert "ok      offline log, read whole: 3 files of 0.0 MB read whole, 2 faults" in told
    lines = [line.partition(" is damaged (")[0] for line in told.splitlines() if " is damaged (" in line]
    named = [f"log/{view.view}/@backfill/job/{number}.parquet" for number in (0, 2)]
    assert lines == [f"failed  offline log, read whole: {name}" for name in named]
    assert told.count("move it away and start its job again") == 2
    assert "undertow backfill HISTORY --job job" in told
    assert "chain" not in told


def verified():
    options = ["--set=kafka.extra.bootstrap_timeout_ms=200", "--set=offline.path=log"]
    return CliRunner().invoke(main, ["check", "--verify", *options]).output
