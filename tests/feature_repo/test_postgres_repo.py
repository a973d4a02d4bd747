"""A space in Postgres goes through `apply`, is written, and is read and searched by a Feast that has only its own."""

import numpy as np
import pytest
from feast import FeatureStore

from tests.feature_repo.stock import copy_of_repo
from tests.feature_repo.test_feast_repo import ECG, JUNE, NEW, embeddings
from undertow.adapters import feast_lookup, feast_repo, postgres_ready
from undertow.core.errors import Refused
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.settings.sections import FeastSettings
from undertow.wiring.stores import check_online, open_online

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def database(postgres):
    """One in which nothing was done yet."""
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE bare")
    return postgres.options(database="bare")


@pytest.fixture(scope="module")
def feast(tmp_path_factory, postgres, database):
    """A repository with two spaces, applied."""
    folder = tmp_path_factory.mktemp("feast")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**postgres.variables(), "UNDERTOW_POSTGRES_DATABASE": database["database"]}.items():
            patch.setenv(name, value)
        settings = FeastSettings(repo=copy_of_repo(folder), config="feature_store.postgres.yaml")
        for view in (NEW, ECG):
            feast_repo.register(settings.repo, view, folder / "offline" / view.view)
        assert feast_repo.apply(settings, {NEW.view: True, ECG.view: True}) == (ECG.view, NEW.view)
        yield settings


def test_what_was_written_is_found_by_get_to_the_microsecond(feast):
    recipe = feast_repo.online_recipe(feast, NEW)
    assert (recipe.type, recipe.searched) == ("postgres", ("hidden",))
    assert "test-hush-hush" not in repr(recipe)
    check_online(recipe)
    sink = open_online(recipe)
    assert sink.write(embeddings(JUNE + 123_456)) == 2
    sink.close()
    found = feast_lookup.get(feast, "har", {"wearer": "s08", "session": 1})
    assert (found.event_us, found.has_fraction) == (JUNE + 123_456, True)
    assert {name: vector.tolist() for name, vector in found.features.items()} == {
        name: rows[0].tolist() for name, rows in embeddings().features.items()
    }
    assert feast_lookup.get(feast, "har", {"wearer": "nobody", "session": 1}) is None


def test_of_each_view_the_first_feature_is_declared_as_the_one_that_is_searched(feast):
    store = FeatureStore(repo_path=str(feast.repo), fs_yaml_file=feast.repo / feast.config)
    fields = {field.name: field for field in store.get_feature_view(NEW.view).features}
    assert {name: (field.vector_index, field.vector_length) for name, field in fields.items()} == {
        "hidden": (True, 5),
        "gate": (False, 2),
    }


def test_stock_feast_searches_as_numpy_ranks(feast):
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(2_000, 1)).astype(np.float32)
    sink = open_online(feast_repo.online_recipe(feast, ECG))
    sink.write(
        EmbeddingBatch(
            space=ECG.space,
            series={"wearer": np.arange(2_000)},
            **dict.fromkeys(("event_us", "created_us"), np.full(2_000, JUNE)),
            features={"hidden": vectors},
        )
    )
    sink.close()
    store = FeatureStore(repo_path=str(feast.repo), fs_yaml_file=feast.repo / feast.config)
    found = store.retrieve_online_documents_v2(
        features=[f"{ECG.view}:hidden"], query=[0.25], top_k=7, distance_metric="L2"
    ).to_dict()
    order = np.argsort(np.abs(vectors[:, 0] - 0.25))[:7]
    assert found["wearer"] == order.tolist()
    # Feast 0.67 gives the ids as they rank, and all other columns as the ids would be sorted.
    rank = np.argsort(found["distance"])
    assert np.allclose(np.array(found["distance"])[rank], np.abs(vectors[order, 0] - 0.25), rtol=1e-5)
    assert np.array_equal(np.array(found["hidden"], np.float32)[rank], vectors[order])


def test_where_pgvector_may_not_be_installed_apply_says_who_can(postgres):
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE without")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'hush-hush-hush'")
    options = postgres.options(database="without", user="guest", password="hush-hush-hush")
    with pytest.raises(Refused, match=r"user guest may not install it: .* CREATE EXTENSION vector there"):
        postgres_ready.make_ready({"project": "p", "online_store": options}, [])
    postgres_ready.make_ready({"project": "p", "online_store": {**options, "vector_enabled": False}}, [])
    with pytest.raises(Refused, match="63 bytes at most"):
        postgres_ready.make_ready({"project": "p", "online_store": options}, ["v" * 62])
