"""A registry of Feast's in an object store needs a package of its own, which is named where it is missing."""

import json

import pytest

from undertow.adapters import feast_repo, feast_store
from undertow.core.errors import Refused
from undertow.settings.sections import FeastSettings

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
        ("s3://bucket/secret/registry.db", "boto3", "pip install 'feast[aws]'"),
        ("gs://bucket/secret/registry.db", "google.cloud.storage", "pip install 'feast[gcp]'"),
    ],
)
def test_who_opens_it_or_applies_is_told_what_to_install(feast, monkeypatch, address, package, command, as_section):
    configure(feast, {"path": address} if as_section else address)
    asked = []
    monkeypatch.setattr(feast_store, "find_spec", asked.append)
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
    monkeypatch.setattr(feast_store, "find_spec", missing)
    with pytest.raises(Refused, match=r"feast\[gcp\]"):
        feast_store.require_registry(feast)


@pytest.mark.parametrize(
    "registry", ["registry.db", {"registry_type": "sql", "path": "sqlite:///r.sqlite"}, "s3://b/r"]
)
def test_nothing_is_refused_where_it_is_there_or_not_needed(feast, monkeypatch, registry):
    configure(feast, registry)
    monkeypatch.setattr(feast_store, "find_spec", lambda name: name == "boto3" or None)
    feast_store.require_registry(feast)
