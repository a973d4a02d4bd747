"""Several checkouts apply to one registry: each adds its own, and nobody's views, services or vectors go."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pytest
from feast import FeatureStore

from tests.feature_repo.stock import copy_of_repo, run_feast
from tests.fleet import quick_feast
from undertow.adapters import feast_repo
from undertow.adapters.feast_lookup import get
from undertow.adapters.feast_registry import HeldView, held_views
from undertow.commands import apply as registration
from undertow.commands.apply import _others
from undertow.core.errors import Refused
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import StoreSettings
from undertow.settings.sections import FeastSettings
from undertow.wiring.stores import open_online

SERIES = (IdColumn(name="wearer", type="string"),)
FIRST, SECOND, THIRD = (
    SpaceView(name="har", space=digit * 64, series=SERIES, features=(("hidden", 2),)) for digit in "abc"
)
OTHER = SpaceView(name="ecg", space="e" * 64, series=SERIES, features=(("hidden", 2),))

SQLITE = """
project: {project}
provider: local
registry: {registry}
online_store: {{type: sqlite, path: {folder}/online.db}}
offline_store: {{type: duckdb}}
entity_key_serialization_version: 3
"""
REDIS = SQLITE.replace("{{type: sqlite, path: {folder}/online.db}}", "{{type: redis, connection_string: '{redis}'}}")
FILE, SQL = "{folder}/registry.db", "{{registry_type: sql, path: 'sqlite:///{folder}/registry.sqlite'}}"
S3 = "{s3}/registry.db"
EACH = [FILE, pytest.param(S3, marks=pytest.mark.s3)]

MINE = """
import pandas as pd
from feast import FeatureService, FeatureView, Field, FileSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float32, Float64

import embedding_views

wearer = embedding_views.entity_wearer__string
ages = FeatureView(
    name="ages", entities=[wearer], schema=[Field(name="age", dtype=Float32)],
    source=FileSource(name="ages_source", path="ages.parquet", timestamp_field="event_timestamp"),
)
vectors = embedding_views.view_har__aaaaaaaa

@on_demand_feature_view(sources=[vectors], schema=[Field(name="length", dtype=Float64)])
def lengths(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"length": [sum(x * x for x in v) ** 0.5 if v is not None else None for v in inputs["hidden"]]})

alone = FeatureService(name="alone", features=[ages])
computed = FeatureService(name="computed", features=[lengths])
together = FeatureService(name="together", features=[vectors, ages])
renamed = FeatureService(name="renamed", features=[vectors])
"""


@pytest.fixture
def make_checkout(tmp_path, request):
    """Return what makes a checkout of the repository, whose registry and store are those of all others."""

    def make(name, config=SQLITE, registry=FILE):
        redis = request.getfixturevalue("redis_address") if config is REDIS else ""
        s3 = request.getfixturevalue("store_root") if registry is S3 else None
        if s3:  # the test's server replaces an object and its checksum one after the other
            request.getfixturevalue("monkeypatch").setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
        repo = copy_of_repo(tmp_path / name)
        filled = config.replace("{registry}", registry)
        (repo / "feature_store.yaml").write_text(
            filled.format(project=f"p{tmp_path.name}", folder=tmp_path, redis=redis, s3=s3)
        )
        store = asdict(s3.options) if s3 else {}
        given = {name: value for name, value in store.items() if value and name in StoreSettings.model_fields}
        return FeastSettings(repo=repo).reached_by(StoreSettings(**given))

    return make


def apply(feast, *views, promote=False, pruned=(), **options):
    for view in views:
        feast_repo.register(feast.repo, view, feast.repo.parent / view.view, promote=promote, **options)
    quick_feast.apply(feast, {view.view: promote for view in views}, pruned=pruned)


def write(feast, view, number=1.0):
    sink = open_online(feast_repo.online_recipe(feast, view))
    vectors = np.full((1, 2), number, np.float32)
    row = EmbeddingBatch(
        space=view.space,
        series={"wearer": np.array(["s1"], object)},
        event_us=np.array([1_700_000_000_000_000]),
        created_us=np.array([1_700_000_000_000_000]),
        features={"hidden": vectors},
    )
    assert sink.write(row) == 1
    sink.close()


def found(feast, name):
    embedding = get(feast, name, {"wearer": "s1"})
    return embedding and (embedding.view, embedding.features["hidden"].tolist())


@pytest.mark.parametrize("config", [SQLITE, pytest.param(REDIS, marks=pytest.mark.redis)])
@pytest.mark.parametrize("how", ["ours", "stock"])
def test_what_one_checkout_has_registered_and_written_outlives_an_apply_from_another(make_checkout, config, how):
    one, two = make_checkout("one", config), make_checkout("two", config)
    apply(one, FIRST, ttl_s=3600)
    write(one, FIRST, 5.0)
    if how == "ours":
        apply(two, OTHER)
        write(two, OTHER, 7.0)
        assert found(one, "ecg") == (OTHER.view, [7, 7])
    else:
        run_feast("-c", two.repo, "apply")
    for feast in (one, two):
        assert found(feast, "har") == (FIRST.view, [5, 5])
        assert held_views(feast)[FIRST.view].ttl_seconds == 3600
    assert feast_repo.online_recipe(two, FIRST).log == feast_repo.online_recipe(one, FIRST).log


def test_the_stock_command_finds_nothing_to_change_in_what_is_registered(make_checkout):
    one, two = make_checkout("one"), make_checkout("two")
    apply(one, FIRST, OTHER, ttl_s=0)
    run_feast("-c", two.repo, "apply")  # Feast notes its tables
    for feast in (one, two):
        assert "No changes to registry" in run_feast("-c", feast.repo, "apply")
    assert held_views(two)[FIRST.view].ttl_seconds == 0


@pytest.mark.parametrize(
    ("how", "registry"), [("ours", FILE), ("stock", FILE), pytest.param("ours", S3, marks=pytest.mark.s3)]
)
def test_who_is_promoted_stands_in_the_registry_not_in_the_files_of_a_checkout(make_checkout, how, registry):
    one, two = make_checkout("one", registry=registry), make_checkout("two", registry=registry)
    apply(one, FIRST)
    apply(two, SECOND)
    write(two, FIRST, 1.0)
    write(two, SECOND, 2.0)
    assert found(two, "har") == (FIRST.view, [1, 1])
    apply(two, SECOND, promote=True)
    assert found(one, "har") == (SECOND.view, [2, 2])
    if how == "ours":
        apply(one, FIRST)
    else:
        run_feast("-c", one.repo, "apply")
    assert found(one, "har") == (SECOND.view, [2, 2])
    apply(one, FIRST, promote=True)
    assert found(two, "har") == (FIRST.view, [1, 1])


@pytest.mark.parametrize("registry", [*EACH, SQL])
def test_applies_at_the_same_moment_lose_nothing(make_checkout, registry):
    views = [replace(FIRST, name=f"n{number}") for number in range(6)]
    checkouts = [make_checkout(view.name, registry=registry) for view in views]
    apply(checkouts[0], views[0])
    with ThreadPoolExecutor(len(views)) as pool:
        running = [pool.submit(apply, *pair) for pair in zip(checkouts[1:], views[1:], strict=True)]
        if registry is FILE:  # beside a SQL one, which has no lock, Feast's own may delete what has just come
            run_feast("-c", checkouts[0].repo, "apply")
        for one in running:
            one.result()
    assert held_views(checkouts[0]).keys() == {view.view for view in views}
    for view in views:
        assert found(checkouts[0], view.name) is None  # served, and its table is there


@pytest.fixture
def with_own(make_checkout):
    """Two checkouts, in one of which the user has views, an on-demand view and services of his own."""
    one, two = make_checkout("one"), make_checkout("two")
    apply(one, FIRST)
    (one.repo / "mine.py").write_text(MINE)
    apply(one, FIRST)
    write(one, FIRST, 3.0)
    return one, two


def test_objects_of_the_users_own_stay_and_work(with_own):
    one, two = with_own
    apply(two, SECOND)
    store = FeatureStore(str(two.repo))
    asked = store.get_online_features(store.get_feature_service("computed"), [{"wearer": "s1"}]).to_dict()
    assert asked["length"] == [pytest.approx(18**0.5)]
    assert {"alone", "computed", "together", "renamed", "har"} <= {one.name for one in store.list_feature_services()}
    assert [view.name for view in store.list_on_demand_feature_views()] == ["lengths"]
    assert sorted(held_views(one)) == [FIRST.view, SECOND.view]


def test_get_of_what_the_user_has_registered_works_or_is_refused_in_a_line(with_own):
    one, _ = with_own
    assert found(one, "renamed") == (FIRST.view, [3, 3])
    for name in ("alone", "computed", "together", "ages", "lengths"):
        with pytest.raises(
            Refused, match=f"expected '{name}' to be one view of embeddings, found .*get_online_features"
        ):
            get(one, name, {"wearer": "s1"})
    with pytest.raises(Refused, match="serves no 'nothing', but: har, renamed; run"):
        get(one, "nothing", {"wearer": "s1"})


@pytest.mark.parametrize("registry", EACH)
def test_pruned_views_go_with_their_service_and_rows_and_the_rest_stays(make_checkout, tmp_path, registry):
    one, two = make_checkout("one", registry=registry), make_checkout("two", registry=registry)
    apply(one, FIRST, OTHER)
    write(one, FIRST, 3.0)
    apply(two, SECOND, pruned=(OTHER.view,))
    assert found(two, "har") == (FIRST.view, [3, 3])
    with pytest.raises(Refused, match="serves no 'ecg', but: har"):
        get(one, "ecg", {})
    tables = {name for (name,) in sqlite3.connect(tmp_path / "online.db").execute("SELECT name FROM sqlite_master")}
    assert not [name for name in tables if OTHER.view in name]
    assert [name for name in tables if FIRST.view in name]


def test_prune_asks_and_names_what_would_go(with_own, monkeypatch, capsys):
    one, two = with_own
    apply(two, SECOND, THIRD)
    held = held_views(one)
    capsys.readouterr()
    with pytest.raises(Refused, match=r"har__aaaaaaaa is read by .*renamed.*lengths, which undertow did not apply"):
        registration._choose_pruned(held, {SECOND.view}, ask=False)
    monkeypatch.setattr(registration.click, "confirm", lambda *_, **__: False)
    with pytest.raises(Refused, match="nothing was deleted"):
        registration._choose_pruned(held, {FIRST.view}, ask=True)
    assert capsys.readouterr().err.splitlines() == [
        f"{view}: to be deleted from Feast, with its online vectors; not promoted" for view in (SECOND.view, THIRD.view)
    ]
    assert registration._choose_pruned(held, {FIRST.view}, ask=False) == (SECOND.view, THIRD.view)


@pytest.mark.parametrize("registry", EACH)
def test_a_table_that_the_store_has_lost_is_made_again(make_checkout, tmp_path, registry):
    one, two = make_checkout("one", registry=registry), make_checkout("two", registry=registry)
    apply(one, FIRST, OTHER)
    if registry is FILE:
        run_feast("-c", one.repo, "apply")
    (tmp_path / "online.db").unlink()
    apply(two, SECOND)
    for view in (FIRST, SECOND, OTHER):
        write(two, view)


def test_apply_says_of_what_it_keeps_which_is_served_to_whom():
    view = HeldView(series=(), space="s", log="", ttl_seconds=None, services=(), on_demand=())
    held = {"a__1": replace(view, services=("a", "of-mine")), "a__2": view, "a__3": view}
    (line,) = _others(["a__1", "a__2", "a__3"], held, ["a__3"])
    assert line.startswith("kept, of other artifacts: a__1 (served as a, of-mine), a__2; undertow apply --prune")
    assert list(_others(["a__3"], held, ["a__3"])) == []
