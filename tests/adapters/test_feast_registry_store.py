"""A registry of Feast's in an object store needs a package of its own, which is named where it is missing."""

import json
import os

import pytest

from undertow.adapters import feast_logins, feast_repo, feast_store
from undertow.core.errors import Refused, Unavailable
from undertow.settings.log_sections import StoreSettings
from undertow.settings.sections import FeastSettings
from undertow.settings.settings import load

LIKE = {
    "project": "p",
    "provider": "local",
    "online_store": {"type": "sqlite", "path": "online.db"},
    "offline_store": {"type": "duckdb"},
    "entity_key_serialization_version": 3,
}


@pytest.fixture
def feast(tmp_path):
    return FeastSettings(repo=tmp_path, config="feast.yaml")


def configure(feast, registry):
    (feast.repo / feast.config).write_text(json.dumps({**LIKE, "registry": registry}))  # which YAML takes, too


@pytest.mark.parametrize("as_section", [False, True])
@pytest.mark.parametrize(
    ("address", "package", "command"),
    [
        ("s3://bucket/secret/registry.db", "boto3", "pip install 'undertow[aws]'"),
        ("gs://bucket/secret/registry.db", "google.cloud.storage", "pip install 'feast[gcp]'"),
    ],
)
def test_who_opens_it_or_applies_is_told_what_to_install(feast, monkeypatch, address, package, command, as_section):
    configure(feast, {"path": address} if as_section else address)
    asked = []
    monkeypatch.setattr(feast_logins, "find_spec", asked.append)
    for begin in (feast_store.open_store, feast_repo.apply):
        with pytest.raises(Refused) as refused:
            begin(feast)
        assert package in str(refused.value)
        assert str(refused.value).endswith(command)
        assert "secret" not in str(refused.value)
    assert asked == [package] * 2


def test_a_name_whose_beginning_is_missing_is_not_installed_either(feast, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    configure(feast, "gs://bucket/registry.db")
    monkeypatch.setattr(feast_logins, "find_spec", missing)
    with pytest.raises(Refused, match=r"feast\[gcp\]"):
        feast_logins.require_registry(feast)


@pytest.mark.parametrize(
    "registry", ["registry.db", {"registry_type": "sql", "path": "sqlite:///r.sqlite"}, "s3://b/r"]
)
def test_nothing_is_refused_where_it_is_there_or_not_needed(feast, monkeypatch, registry):
    configure(feast, registry)
    monkeypatch.setattr(feast_logins, "find_spec", lambda name: name == "boto3" or None)
    feast_logins.require_registry(feast)


KEY = {name: f"{name}'s" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
OF_STORE = {**KEY, "AWS_DEFAULT_REGION": "here", "FEAST_S3_ENDPOINT_URL": "http://127.0.0.1:1"}
GIVEN = StoreSettings(
    access_key_id=KEY["AWS_ACCESS_KEY_ID"],
    secret_access_key=KEY["AWS_SECRET_ACCESS_KEY"],
    session_token=KEY["AWS_SESSION_TOKEN"],
    region="here",
    endpoint="http://127.0.0.1:1",
)


@pytest.fixture
def no_login(monkeypatch):
    """An environment without a login for S3."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FEAST_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_feast_is_told_how_the_store_of_the_settings_is_reached_and_nobody_else(feast, no_login, tmp_path):
    no_login.chdir(tmp_path)
    settings = load(["store.region=here", "store.endpoint=http://127.0.0.1:1", "store.access_key_id=me"])
    configure(feast, "s3://bucket/registry.db")
    feast = feast.reached_by(settings.feast.store)
    told = {"AWS_ACCESS_KEY_ID": "me", "AWS_DEFAULT_REGION": "here", "FEAST_S3_ENDPOINT_URL": "http://127.0.0.1:1"}
    before = {**os.environ}
    with feast_logins.logged_in(feast):
        assert dict(os.environ) == before | told
    assert dict(os.environ) == before
    assert feast_store.environment(feast) == before | told
    configure(feast, "data/registry.db")
    assert feast_store.environment(feast) == before


@pytest.mark.parametrize(
    ("his", "left_out"),
    [
        *((name, KEY) for name in (*KEY, "AWS_PROFILE")),
        *((name, {"FEAST_S3_ENDPOINT_URL"}) for name in ("AWS_ENDPOINT_URL", "FEAST_S3_ENDPOINT_URL")),
        ("AWS_DEFAULT_REGION", {"AWS_DEFAULT_REGION"}),
    ],
)
def test_what_a_user_has_set_himself_is_left_to_him(feast, no_login, his, left_out):
    configure(feast, "s3://bucket/registry.db")
    no_login.setenv(his, "his")
    told = feast_logins.variables(feast.reached_by(GIVEN))
    assert told == {name: value for name, value in OF_STORE.items() if name not in left_out}
    assert feast_store.environment(feast.reached_by(GIVEN))[his] == "his"


@pytest.mark.usefixtures("no_login")
def test_a_file_with_the_secret_is_read_only_where_the_registry_lies_in_a_store(feast, tmp_path):
    feast = feast.reached_by(StoreSettings(access_key_id="me", secret_access_key_file=tmp_path / "key"))
    configure(feast, "registry.db")
    assert feast_logins.variables(feast) == {}
    configure(feast, "s3://bucket/registry.db")
    (tmp_path / "key").write_text("hush\n")
    assert feast_logins.variables(feast) == {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "hush"}


@pytest.mark.s3
def test_a_registry_that_cannot_be_read_is_told_in_a_line_without_the_secret(feast, no_login, store_root):
    options = store_root.options
    given = {"region": options.region, "access_key_id": options.access_key_id, "secret_access_key": "wrong-hush"}
    configure(feast, f"{store_root}/registry.db")
    no_login.setenv("AWS_MAX_ATTEMPTS", "1")
    for endpoint, expected in ((options.endpoint, "Forbidden"), ("http://127.0.0.1:1", "EndpointConnectionError")):
        with pytest.raises(Unavailable, match=rf"registry .* cannot be read: .*{expected}.*section store") as told:
            feast_store.open_store(feast.reached_by(StoreSettings(endpoint=endpoint, **given)))
        assert "hush" not in str(told.value)
        assert "\n" not in str(told.value)
