"""A space goes through the stock commands of Feast, and a process that has only Feast reads it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.feature_repo.stock import copy_of_repo, run_feast
from undertow.adapters import feast_lookup, feast_repo
from undertow.adapters.online_feast import FeastOnline
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.core.errors import Refused
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch, offline_schema
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings

JUNE = 1_717_200_000_000_000  # 2024-06-01, whole seconds: what SQLite's readers can tell
SERIES = (IdColumn(name="wearer", type="string"), IdColumn(name="session", type="integer"))
OLD = SpaceView(name="har", space="0" * 64, series=SERIES, features=(("hidden", 3),))
NEW = SpaceView(
    name="har", space="0a1b2c3d" * 8, series=SERIES, features=(("hidden", 5), ("gate", 2)), description="TFT"
)
ECG = SpaceView(
    name="ecg", space="f" * 64, series=(IdColumn(name="wearer", type="integer"),), features=(("hidden", 1),)
)
HIDDEN = np.array([[0.1, -1e30, 3.4e38, 1e-45, 0], [1, 2, 3, 4, 5]], np.float32)
GATE = np.array([[0.3, 0.7], [6, 7]], np.float32)


def embeddings(event_us=JUNE):
    return EmbeddingBatch(
        space=NEW.space,
        series={"wearer": np.array(["s08", "s09"], object), "session": np.array([1, 2])},
        event_us=np.array([event_us, event_us + 10**6]),
        created_us=np.array([JUNE, JUNE]),
        features={"hidden": HIDDEN, "gate": GATE},
    )


# (wearer, minutes after JUNE, minutes until created, number that the vectors are made of), in the order of delivery
DELIVERED = [
    ("s08", 0, 1, 1),
    ("s08", 10, 11, 2),
    ("s08", 10, 40, 3),  # the same record again, after a crash
    ("s08", 10, 20, 4),
    ("s08", 20, 21, 5),
    ("s09", 5, 6, 6),
    ("s09", 5, 7, 7),
]


def moment(minutes):
    return datetime(2024, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)


def write_parts(offline):
    """One part for each row, in the folders of three partitions; among them what a writer is still at."""
    schema = offline_schema({"wearer": "string", "session": "integer"}, ["hidden", "gate"])
    for row, (wearer, minutes, created, number) in enumerate(DELIVERED):
        folder = offline / "windows" / str(row % 3)
        folder.mkdir(parents=True, exist_ok=True)
        columns = {
            "wearer": [wearer],
            "session": [1],
            "event_timestamp": [moment(minutes)],
            "created": [moment(created)],
            "hidden": [[number] * 5],
            "gate": [[number] * 2],
            "space": [NEW.space],
            "origin_partition": [row % 3],
            "origin_offset": [row],
        }
        pq.write_table(pa.table(columns, schema=schema), folder / f"{row:020d}.parquet")
        (folder / ".unfinished").write_text("junk")


def write_heart(offline):
    """One row of the space whose vectors count for a minute in Feast's joins."""
    row = {"wearer": [8], "event_timestamp": [moment(0)], "created": [moment(0)], "hidden": [[7]], "space": [ECG.space]}
    schema = offline_schema({"wearer": "integer"}, ["hidden"])
    table = pa.table({name: row.get(name, [None]) for name in schema.names}, schema=schema)
    pq.write_table(table, offline / "heart.parquet")


@pytest.fixture(scope="module")
def redis_variable(redis_address):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERTOW_REDIS", f"{redis_address},db=9")
        yield


@pytest.fixture(scope="module")
def feast(tmp_path_factory, redis_variable):  # noqa: ARG001 - a fixture cannot ask for another by mark
    """A repository with three spaces, applied for SQLite and for Redis, in which two series were written."""
    folder = tmp_path_factory.mktemp("feast")
    settings = FeastSettings(repo=copy_of_repo(folder))
    write_parts(folder / "offline" / "new")
    for view, part, ttl_s in ((OLD, "old", None), (NEW, "new", 0), (ECG, "ecg", 60)):
        feast_repo.register(settings.repo, view, folder / "offline" / part, ttl_s=ttl_s)
    write_heart(folder / "offline" / "ecg")
    assert feast_repo.apply(settings) == ("ecg__ffffffff", "har__00000000", "har__0a1b2c3d")
    run_feast("-c", settings.repo, "-f", settings.repo / "feature_store.redis.yaml", "apply")
    recipe = feast_repo.online_recipe(settings, NEW)
    sink = SqliteOnline(path=Path(recipe.options["path"]), project=recipe.project, view=recipe.view)
    sink.write(embeddings())
    sink.close()
    recipe = feast_repo.online_recipe(with_redis(settings), NEW)
    sink = RedisOnline(options=recipe.options, project=recipe.project, view=recipe.view)
    sink.write(embeddings(JUNE + 123_456))
    sink.close()
    return settings


def with_redis(settings):
    return settings.model_copy(update={"config": "feature_store.redis.yaml"})


READER = """
import json, sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
import ibis
import pandas as pd
from feast import FeatureStore

repo = Path(sys.argv[1])
series = [{"wearer": "s08", "session": 1}, {"wearer": "s09", "session": 2}]
online = {}
for config in ("feature_store.yaml", "feature_store.redis.yaml"):
    store = FeatureStore(repo_path=str(repo), fs_yaml_file=repo / config)
    online[config] = store.get_online_features(store.get_feature_service("har"), entity_rows=series).to_dict()
june = datetime(2024, 6, 1, tzinfo=timezone.utc)
asked = [("s08", -1), ("s08", 9), ("s08", 10), ("s08", 19), ("s08", 500000), ("s09", 5), ("nobody", 5)]
entities = pd.DataFrame({
    "wearer": [wearer for wearer, _ in asked], "session": 1,
    "event_timestamp": [june + timedelta(minutes=minutes) for _, minutes in asked],
})
frame = store.get_historical_features(entities, store.get_feature_service("har")).to_df()
heart = pd.DataFrame({"wearer": [8, 8], "event_timestamp": [june + timedelta(seconds=s) for s in (60, 61)]})
heart = store.get_historical_features(heart, store.get_feature_service("ecg")).to_df().sort_values("event_timestamp")
print(json.dumps({
    "heart": [None if hidden is None else hidden.tolist() for hidden in heart["hidden"]],
    "online": online,
    "history": [[r.wearer, (r.event_timestamp - june).total_seconds() / 60,
                 None if r.hidden is None else r.hidden.tolist(), None if r.gate is None else str(r.gate.dtype)]
                for r in frame.itertuples()],
    "ours": [name for name in sys.modules if name.split(".")[0] == "undertow"],
}))
ibis.options.default_backend = None
"""


@pytest.fixture(scope="module")
def read(feast, tmp_path_factory):
    """What a process that knows nothing of us reads."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", READER, str(feast.repo)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path_factory.mktemp("elsewhere"),
    )
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "stderr": done.stderr}


def test_a_reader_needs_nothing_of_ours(read):
    assert read["ours"] == []


@pytest.mark.parametrize("config", ["feature_store.yaml", "feature_store.redis.yaml"])
def test_a_stock_reader_finds_the_same_floats_online(read, config):
    found = read["online"][config]
    assert found["wearer"] == ["s08", "s09"]
    assert np.array_equal(np.array(found["hidden"], np.float32), HIDDEN)
    assert np.array_equal(np.array(found["gate"], np.float32), GATE)


def test_a_stock_reader_finds_the_right_row_of_the_past_among_those_delivered_twice(read):
    expected = {
        ("s08", -1): None,
        ("s08", 9): 1,
        ("s08", 10): 3,
        ("s08", 19): 3,
        ("s08", 500_000): 5,  # embeddings do not expire
        ("s09", 5): 7,
        ("nobody", 5): None,
    }
    found = {(wearer, minutes): hidden for wearer, minutes, hidden, _ in read["history"]}
    assert found == {key: None if number is None else [number] * 5 for key, number in expected.items()}
    assert {dtype for *_, dtype in read["history"]} == {"float32", None}


def test_a_reader_that_lets_go_of_duckdb_ends_without_its_notice_of_leaks(read):
    assert "nanobind" not in read["stderr"]


def test_a_stock_reader_finds_nothing_in_the_past_that_is_older_than_the_ttl(read):
    assert read["heart"] == [[7], None]


def test_the_stock_command_lists_the_views(feast):
    listed = run_feast("-c", feast.repo, "feature-views", "list").split()
    assert {"ecg__ffffffff", "har__00000000", "har__0a1b2c3d"} <= set(listed)


def test_get_returns_the_promoted_embedding_with_its_time_and_space(feast):
    found = feast_lookup.get(feast, "har", {"wearer": "s08", "session": "1"})
    assert (found.view, found.space, found.event_us) == (NEW.view, NEW.space, JUNE)
    assert found.features.keys() == {"hidden", "gate"}
    assert found.features["hidden"].dtype == np.float32
    assert np.array_equal(found.features["hidden"], HIDDEN[0])


def test_get_from_redis_knows_the_microsecond(feast):
    assert feast_lookup.get(with_redis(feast), "har", {"wearer": "s09", "session": 2}).event_us == JUNE + 1_123_456


@pytest.mark.parametrize("config", ["feature_store.yaml", "feature_store.redis.yaml"])
def test_get_tells_that_a_series_is_missing(feast, config):
    settings = feast.model_copy(update={"config": config})
    assert feast_lookup.get(settings, "har", {"wearer": "nobody", "session": 1}) is None


def test_get_of_a_name_that_is_not_served_says_which_are(feast):
    with pytest.raises(Refused, match="serves no 'ekg', but: ecg, har; run: undertow apply"):
        feast_lookup.get(feast, "ekg", {"wearer": "s08"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"wearer": "s08"}, "expected the ids session, wearer|expected the ids wearer, session"),
        ({"wearer": "s08", "session": 1, "side": "left"}, "found wearer, session, side"),
        ({"wearer": "s08", "session": "first"}, "the id session is an integer; found 'first'"),
    ],
)
def test_get_with_other_ids_than_the_view_has_is_refused(feast, keys, message):
    with pytest.raises(Refused, match=message):
        feast_lookup.get(feast, "har", keys)


def test_the_recipe_of_a_view_that_was_not_applied_says_to_apply(feast):
    with pytest.raises(Refused, match="knows no view har__12345678; run: undertow apply"):
        feast_repo.online_recipe(feast, replace(NEW, space="12345678" * 8))


def test_the_recipe_does_not_show_what_may_hold_a_password(feast):
    recipe = feast_repo.online_recipe(with_redis(feast), NEW)
    assert recipe.type == "redis"
    assert recipe.options["connection_string"].startswith(os.environ["UNDERTOW_REDIS"])  # with limits of time
    assert "db=9" not in repr(recipe)


def test_any_other_store_is_written_through_feast_and_read_online_however_old_a_vector_is(feast):
    recipe = feast_repo.online_recipe(feast, ECG)
    sink = FeastOnline(repo_config=recipe.repo_config, repo=recipe.repo, definition=recipe.definition)
    sink.check()
    rows = EmbeddingBatch(
        space=ECG.space,
        series={"wearer": np.array([8])},
        **dict.fromkeys(("event_us", "created_us"), np.array([JUNE])),
        features={"hidden": np.array([[0.1]], np.float32)},
    )
    assert sink.write(rows) == 1
    assert feast_lookup.get(feast, "ecg", {"wearer": 8}).features["hidden"].tolist() == [np.float32(0.1)]


def test_without_a_single_space_the_stock_commands_work_and_register_nothing(tmp_path):
    repo = copy_of_repo(tmp_path)
    run_feast("-c", repo, "apply")
    assert "__" not in run_feast("-c", repo, "feature-views", "list")
    with pytest.raises(Refused, match="knows no view har__0a1b2c3d; run: undertow apply"):
        feast_repo.online_recipe(FeastSettings(repo=repo), NEW)
    with pytest.raises(Refused, match="serves no 'har', but: none; run: undertow apply"):
        feast_lookup.get(FeastSettings(repo=repo), "har", {})


def test_the_views_are_named_as_the_workers_name_them(feast):
    recipe = feast_repo.online_recipe(feast, NEW)
    assert (recipe.project, recipe.view) == ("undertow", NEW.view)


def test_what_feast_complains_about_is_shown(tmp_path):
    repo = copy_of_repo(tmp_path)
    for view in (OLD, NEW):
        path = feast_repo.register(repo, view, tmp_path / view.view)
    path.with_name(f"{OLD.view}.json").write_text(json.dumps({**OLD.to_json(), "offline": "x", "promoted": True}))
    with pytest.raises(Refused, match="har__00000000 and har__0a1b2c3d are both promoted; run: undertow apply"):
        feast_repo.apply(FeastSettings(repo=repo))
