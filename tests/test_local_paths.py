"""An address where a path is expected is refused: as a path it would be a folder named `s3:`."""

import pytest
from click.testing import CliRunner

from tests.fleet.test_canary import CANARY
from workers.cli import main
from workers.core.errors import Refused
from workers.settings import load

PATHS = (
    *("offline.path", "feast.repo", "feast.config", "model.artifact"),
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
def test_one_address_among_several_artifacts_is_refused():
    with pytest.raises(Refused, match=r"^model\.artifact: expected a path .* s3://\.\.\."):
        load(['model.artifact=["artifact", "s3://bucket/a"]'])


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
