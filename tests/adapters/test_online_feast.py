"""What goes wrong in a store that only Feast knows: try again, or stop."""

import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float32, String

from undertow.adapters.online_feast import FeastOnline
from undertow.core.errors import Refused, Unavailable

DEFINITION = (
    FeatureView(
        name="har__0a1b2c3d",
        entities=[Entity(name="wearer", value_type=ValueType.STRING)],
        schema=[Field(name="wearer", dtype=String), Field(name="hidden", dtype=Array(Float32))],
        source=FileSource(name="none", path="none", timestamp_field="event_timestamp"),
    )
    .to_proto()
    .SerializeToString()
)


def sink(folder, **online_store):
    config = {
        "project": "p",
        "provider": "local",
        "registry": "registry.db",
        "online_store": online_store,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    return FeastOnline(repo_config=config, repo=folder, definition=DEFINITION)


def test_a_setting_that_the_store_cannot_take_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"type redis cannot take view har__0a1b2c3d: TypeError: .*no_such_option"):
        sink(tmp_path, type="redis", connection_string="localhost:1,no_such_option=1").check()


def test_an_error_of_the_stores_own_driver_is_worth_another_try(tmp_path):
    with pytest.raises(Unavailable, match="type sqlite does not take writes now: OperationalError: no such table"):
        sink(tmp_path, type="sqlite", path="data/online.db").check()


def test_a_relative_path_in_the_config_starts_from_the_repository(tmp_path):
    with pytest.raises(Unavailable):
        sink(tmp_path, type="sqlite", path="data/online.db").check()
    assert (tmp_path / "data" / "online.db").exists()
