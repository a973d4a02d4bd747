"""Registering a space writes files; nothing of Feast is needed for it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from undertow.adapters import feast_repo
from undertow.adapters.offline_names import SEED
from undertow.core.errors import Refused
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import offline_schema
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings


def space(digit, name="har", series="wearer", feature="hidden"):
    return SpaceView(
        name=name,
        space=digit * 64,
        series=(IdColumn(name=series, type="string"), IdColumn(name="session", type="integer")),
        features=((feature, 4),),
    )


def promoted(repo):
    return {path.stem for path in (repo / "spaces").glob("*.json") if json.loads(path.read_text())["promoted"]}


def test_the_file_is_named_after_the_view_and_can_be_read_back(tmp_path):
    path = feast_repo.register(tmp_path, space("a"), tmp_path / "offline")
    assert path == tmp_path / "spaces" / "har__aaaaaaaa.json"
    assert SpaceView.from_json(json.loads(path.read_text())) == space("a")
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_an_absolute_folder_stays_as_it_is(tmp_path):
    path = feast_repo.register(tmp_path, space("a"), tmp_path / "offline")
    assert json.loads(path.read_text())["offline"] == str(tmp_path / "offline")


def test_a_relative_folder_becomes_relative_to_the_repository(tmp_path, monkeypatch):
    (tmp_path / "feature_repo").mkdir()
    monkeypatch.chdir(tmp_path)
    path = feast_repo.register(Path("feature_repo"), space("a"), Path("log/a"))
    assert json.loads(path.read_text())["offline"] == "../log/a"
    assert (tmp_path / "log" / "a" / SEED).exists()


def test_the_folder_is_seeded_with_an_empty_part_that_shows_the_columns(tmp_path):
    feast_repo.register(tmp_path, space("a"), tmp_path / "offline")
    (part,) = (tmp_path / "offline").iterdir()
    table = pq.read_table(part)
    assert part.name == "00000-schema.parquet"
    assert table.num_rows == 0
    assert table.schema.equals(offline_schema({"wearer": "string", "session": "integer"}, ["hidden"]))


def test_registering_again_leaves_the_seed_alone(tmp_path):
    feast_repo.register(tmp_path, space("a"), tmp_path / "offline")
    before = (tmp_path / "offline" / SEED).stat().st_mtime_ns
    feast_repo.register(tmp_path, space("a"), tmp_path / "offline")
    assert (tmp_path / "offline" / SEED).stat().st_mtime_ns == before


def test_a_promotion_takes_the_name_over_from_the_space_that_had_it(tmp_path):
    for view in (space("a"), space("b"), space("c", name="ecg")):
        feast_repo.register(tmp_path, view, tmp_path / view.view)
    assert promoted(tmp_path) == {"har__bbbbbbbb", "ecg__cccccccc"}


def test_without_promotion_the_name_stays_where_it_was(tmp_path):
    feast_repo.register(tmp_path, space("a"), tmp_path / "a")
    feast_repo.register(tmp_path, space("b"), tmp_path / "b", promote=False)
    feast_repo.register(tmp_path, space("a"), tmp_path / "a", promote=False)
    assert promoted(tmp_path) == {"har__aaaaaaaa"}


@pytest.mark.parametrize("bad", ["har-2", "1har", "", "har 2", "hår", "_har", 'h"; DROP TABLE x'])
@pytest.mark.parametrize("field", ["name", "series", "feature"])
def test_a_name_that_feast_cannot_take_is_refused_before_anything_is_written(tmp_path, field, bad):
    with pytest.raises(Refused, match="begin with a letter"):
        feast_repo.register(tmp_path, space("a", **{field: bad}), tmp_path / "offline")
    assert list(tmp_path.iterdir()) == []


def test_a_variable_that_is_not_set_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("UNDERTOW_REDIS", raising=False)
    (tmp_path / "feature_store.yaml").write_text("online_store: {type: redis, connection_string: '${UNDERTOW_REDIS}'}")
    with pytest.raises(Refused, match=r"feature_store\.yaml uses the environment variable UNDERTOW_REDIS"):
        feast_repo.apply(FeastSettings(repo=tmp_path))


def test_a_config_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Refused, match=r"expected a Feast config at .*feast\.repo and feast\.config"):
        feast_repo.apply(FeastSettings(repo=tmp_path, config="nowhere.yaml"))


def test_a_view_of_the_same_name_and_other_ids_is_refused_and_the_one_that_was_there_stays(tmp_path):
    path = feast_repo.register(tmp_path, space("a"), tmp_path / "offline")
    before = path.read_text()
    with pytest.raises(Refused, match=r"knows har__aaaaaaaa with the ids session:integer, wearer:string, .* --name"):
        feast_repo.register(tmp_path, space("a", series="station"), tmp_path / "offline")
    assert path.read_text() == before
    feast_repo.register(tmp_path, space("a", name="other", series="station"), tmp_path / "beside")
    assert promoted(tmp_path) == {"har__aaaaaaaa", "other__aaaaaaaa"}
