"""An address where a path is expected is refused: as a path it would be a folder named `s3:`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fleet.test_canary import CANARY
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.settings import local_paths
from undertow.settings.settings import load

PATHS = (
    *("feast.repo", "feast.config"),
    *("kafka.ca_file", "kafka.cert_file", "kafka.key_file", "kafka.oauth_token_file", "kafka.password_file"),
    *("kafka.key_password_file", "kafka.registry_credentials_file"),
)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("address", ["s3://bucket/log", f"gs://me:{CANARY}@host/x", "file:///tmp/log", "hdfs://h:1/x"])
@pytest.mark.parametrize("setting", PATHS)
def test_a_path_that_is_an_address_is_refused_with_its_setting_and_nothing_behind_the_scheme(
    setting, address, monkeypatch
):
    monkeypatch.setenv(f"UNDERTOW_{setting.replace('.', '__')}".upper(), address)  # as a flag a password is refused
    with pytest.raises(Refused) as refused:
        load()
    text = str(refused.value)
    assert text.startswith(f"{setting}: expected a path on this machine")
    assert address.partition(":")[0] + "://..." in text
    assert CANARY not in text


@pytest.mark.usefixtures("here")
def test_an_address_of_another_kind_among_several_artifacts_is_refused():
    with pytest.raises(Refused, match=r"^model\.artifact: expected a path .* hdfs://\.\.\."):
        load(['model.artifact=["artifact", "hdfs://bucket/a"]'])


@pytest.mark.usefixtures("here")
def test_artifacts_may_lie_in_a_store_and_beside_it_and_know_how_it_is_reached():
    given = ['model.artifact=["artifact", "s3://bucket/a"]', "store.endpoint=http://localhost:1"]
    local, there = load(given).model.artifacts
    assert (local, str(there), there.options.endpoint) == (Path("artifact"), "s3://bucket/a", "http://localhost:1")
    assert load(given).model.model_dump()["artifact"] == ["artifact", "s3://bucket/a"]


@pytest.mark.usefixtures("here")
def test_a_login_in_the_address_of_an_artifact_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", f"gs://me:{CANARY}@host/x")
    with pytest.raises(Refused, match="a login belongs into the settings") as refused:
        load()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("path", ["a:b", "C:/x", "2026-01-01T00:00/x", "./s3:/x", "with space/x"])
def test_a_path_that_looks_a_little_like_an_address_is_a_path(here, path):
    assert str(load([f"offline.path={here / path}"]).offline.path) == str(here / path)


@pytest.mark.parametrize(
    "command",
    [
        ["view", "--output", "s3://b/x.html"],
        ["join", "x", "-o", "s3://b/x"],
        ["demo", "--state", "s3://b"],
        ["up", "--folder", "s3://b"],
    ],
)
def test_an_option_that_names_a_place_to_write_to_takes_no_address_and_makes_nothing(here, command):
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "s3://..., which is not understood here" in " ".join(result.output.replace("│", " ").split())
    assert list(here.iterdir()) == []


LAYER = "72 48 0:39 / / rw,relatime master:2 - overlay overlay rw,lowerdir=/var/lib/x"
VOLUME = r"89 72 254:0 /data {} rw,relatime - ext4 /dev/vda rw"
DISK = "1 0 254:0 / / rw,relatime - ext4 /dev/vda rw"


@pytest.mark.parametrize(
    ("mounts", "noted"),
    [
        ((LAYER,), ("feature_repo/data", "feature_repo/spaces", "offline")),
        ((LAYER, VOLUME.format("{}/feature_repo")), ("offline",)),
        ((LAYER, VOLUME.format("{}/feature_repo/data"), VOLUME.format("{}/offline")), ("feature_repo/spaces",)),
        ((DISK,), ()),
        ((), ()),
    ],
)
def test_check_tells_what_goes_with_the_container_that_it_runs_in(here, monkeypatch, mounts, noted):
    (here / "mounts").write_text("\n".join(mounts).format(*[str(here).replace(" ", r"\040")] * 2))
    monkeypatch.setattr(local_paths, "MOUNTS", here / "mounts")
    away = ("kafka.bootstrap=127.0.0.1:1", "kafka.extra.bootstrap_timeout_ms=200")
    settings = (f"feast.repo={here}/feature_repo", f"offline.path={here}/offline", *away)
    output = CliRunner().invoke(main, ["check", *(f"--set={one}" for one in settings)]).output
    told = {line.partition("(")[2].partition(")")[0] for line in output.splitlines() if line.startswith("note")}
    assert told == {f"{here}/{path}" for path in noted}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("address", ["file:///tmp/log", "hdfs://h:1/x", f"ftp://me:{CANARY}@host/x"])
def test_the_log_may_lie_in_a_store_but_in_no_other_address(address, monkeypatch):
    monkeypatch.setenv("UNDERTOW_OFFLINE__PATH", address)
    with pytest.raises(Refused, match=r"^offline\.path: expected a path on this machine") as refused:
        load()
    assert CANARY not in str(refused.value)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "address", [f"gs://me:{CANARY}@host/x", f"s3://bucket/log?token={CANARY}", "s3://", "az://account"]
)
def test_an_address_in_a_store_holds_names_alone(address, monkeypatch):
    monkeypatch.setenv("UNDERTOW_OFFLINE__PATH", address)
    with pytest.raises(Refused, match=r"^offline\.path: expected ") as refused:
        load()
    assert CANARY not in str(refused.value)
