"""What an artifact says of its features' numbers stands in Feast's registry; which names Feast's joins write over."""

import json
import runpy
import shutil
from datetime import timedelta
from pathlib import Path

import ibis
import pytest
from feast import FeatureView
from feast.infra.offline_stores.ibis import point_in_time_join
from ibis.common.exceptions import IbisError

from undertow.adapters import feast_repo
from undertow.artifact.format.names import DROPPED, OF_JOINS
from undertow.schemas.contract import IdColumn
from undertow.schemas.spaces import SpaceView

REPO = Path(__file__).parents[2] / "feature_repo"
VIEW = SpaceView(
    name="har",
    space="a" * 64,
    series=(IdColumn(name="wearer", type="string"),),
    features=(("hidden", 2), ("plain", 1)),
    facts={"hidden": {"explained_variance": [0.75, 0.125], "order": "steps, then quantiles"}},
)


@pytest.fixture(autouse=True)
def _as_feast_finds_it(monkeypatch):
    monkeypatch.syspath_prepend(str(REPO))


def declared(folder, change=lambda _: None):
    shutil.copy(REPO / "embedding_views.py", folder)
    path = feast_repo.register(folder, VIEW, folder / "offline")
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    view = runpy.run_path(str(folder / "embedding_views.py"))[f"view_{VIEW.view}"]
    return {field.name: field for field in FeatureView.from_proto(view.to_proto()).features}


def test_numbers_are_json_and_texts_are_texts(tmp_path):
    fields = declared(tmp_path)
    assert fields["hidden"].tags == {"explained_variance": "[0.75, 0.125]", "order": "steps, then quantiles"}
    assert (fields["plain"].tags, fields["hidden"].vector_length) == ({}, 2)


def test_a_space_that_an_earlier_version_registered_is_read_without_facts(tmp_path):
    fields = declared(tmp_path, lambda data: data.pop("facts"))
    assert fields["hidden"].tags == {}
    without = {key: value for key, value in VIEW.to_json().items() if key != "facts"}
    assert SpaceView.from_json(without).facts == {}


def is_joined(feature):
    """Whether the join of Feast's DuckDB store gives the feature as the log holds it."""
    vector = "array<float32>"
    keys = {"wearer": "string", "event_timestamp": "timestamp"}
    log = ibis.table({**keys, "created": "timestamp", feature: vector}, name="log")
    wanted = (log, "event_timestamp", "created", {"wearer": "wearer"}, [feature], timedelta(hours=1))
    try:
        joined = point_in_time_join(ibis.table(keys, name="asked"), [wanted])
    except IbisError:
        return False
    return joined.schema()[feature] == ibis.dtype(vector)


@pytest.mark.parametrize("name", [*OF_JOINS, f"accel{DROPPED}"])
def test_names_are_refused_only_as_long_as_feasts_joins_write_over_them(name):
    assert not is_joined(name)
    assert is_joined("hidden")
