"""Names that would become columns which already are there: refused before anything is written, and in old artifacts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from tests.packing import pack
from undertow.artifact.format.manifest import Manifest, read_manifest
from undertow.artifact.format.names import check_columns, check_ids, check_names
from undertow.artifact.format.spaces import digest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.embeddings import LOG_COLUMNS

TOML = """
class = "torch.nn:Linear"
weights = "model.pt"
[arguments]
in_features = 2
out_features = 3
[input]
columns = ["a", "b"]
max_length = 4
[series]
{id} = "string"
"""


def contract(*ids: str) -> InputContract:
    return InputContract(
        series=tuple(IdColumn(name=name, type="string") for name in ids),
        past=(Column(name="load"),),
        future=(Column(name="holiday"),),
        static=(Column(name="device"),),
        min_length=1,
        max_length=4,
        horizon=1,
    )


@pytest.fixture
def describe(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that describes a module whose series are told by one id column."""

    def write(column: str) -> Path:
        torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "model.pt")
        (tmp_path / "model.toml").write_text(TOML.format(id=column))
        return tmp_path / "model.toml"

    return write


@pytest.mark.parametrize("name", [*LOG_COLUMNS, "CREATED", "Event_Timestamp"])
def test_no_id_and_no_feature_is_named_as_a_column_of_the_logs_own(name: str) -> None:
    taken = "taken, in any case: event_timestamp, created, space, origin_partition, origin_offset"
    with pytest.raises(Refused, match=rf"another name than '{name}' for the id column.*{taken}"):
        check_ids(contract("wearer", name), ["hidden"])
    with pytest.raises(Refused, match=rf"another name than '{name.lower()}' for the feature.*{taken}"):
        check_names("watch", ["hidden", name.lower()])


@pytest.mark.parametrize(
    ("ids", "features", "found"),
    [
        (("site", "site"), (), "the id column 'site' and the id column 'site'"),
        (("site", "Site"), (), "the id column 'site' and the id column 'Site'"),
        (("wearer", "Hidden"), ("hidden",), "the id column 'Hidden' and the feature 'hidden'"),
    ],
)
def test_ids_and_features_are_distinct_whatever_their_capitals(
    ids: tuple[str, ...], features: tuple[str, ...], found: str
) -> None:
    with pytest.raises(Refused, match=f"differ by more than capitals.*found {found}"):
        check_ids(contract(*ids), features)


@pytest.mark.parametrize("name", ["load", "Holiday", "device"])
def test_no_id_is_named_as_an_input(name: str) -> None:
    with pytest.raises(Refused, match=rf"found the id column '{name}' and the input '{name.lower()}'.*--series NAME"):
        check_ids(contract(name), ["hidden"])


@pytest.mark.parametrize("name", ["", " ", "_site", "my-site", "site:a", "1st", "Straße", "a b", "x" * 101])
def test_an_id_that_is_no_join_key_is_refused_when_packed(name: str) -> None:
    with pytest.raises(Refused, match="id columns named by letters, digits and _"):
        check_ids(contract(name), ["hidden"])


@pytest.mark.parametrize("name", ["", "a__b", "_a", "a_", "A", "a-b", "a b", "a\n", "ä", "../a", "x" * 101])
def test_a_name_that_is_odd_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="expected the artifact's name in small letters"):
        check_names(name, ["hidden"])
    with pytest.raises(Refused, match="expected the feature's name in small letters"):
        check_names("watch", [name])


@pytest.mark.parametrize("name", ["rn", "entity_row_id", "event_expire_timestamp"])
def test_a_name_that_feasts_joins_write_over_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=f"another name than '{name}' for the feature: point-in-time joins"):
        check_names("watch", [name])
    with pytest.raises(Refused, match=f"another name than '{name.title()}' for the id column: point-in-time joins"):
        check_ids(contract(name.title()), ["hidden"])


def test_a_feature_that_feasts_joins_drop_is_refused_and_an_id_that_they_keep_is_not() -> None:
    with pytest.raises(Refused, match="does not end in _y, found 'accel_y'"):
        check_names("watch", ["accel_x", "accel_y"])
    check_ids(contract("pos_y", "a__b"), ["hidden"])


@pytest.mark.parametrize("source", ["option", "file", "checkpoint"])
def test_pack_refuses_such_an_id_from_wherever_it_comes(
    source: str, describe: Callable[[str], Path], trained: Callable[[str], Any], tmp_path: Path
) -> None:
    model = trained("gru").checkpoint if source == "checkpoint" else describe("SPACE" if source == "file" else "site")
    series = None if source == "file" else ["SPACE"]
    with pytest.raises(Refused, match="another name than 'SPACE'"):
        pack(model, tmp_path / "a", name="walk", taps={"hidden": "rnn"}, series=series, trust=True, code=["torch"])
    assert not (tmp_path / "a").exists()


def test_pack_refuses_such_a_feature(describe: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="another name than 'created' for the feature"):
        pack(describe("site"), tmp_path / "a", name="walk", taps={"created": "out"}, code=["torch"])


@pytest.fixture
def old(trained: Callable[[str], Any], tmp_path: Path) -> Path:
    """An artifact as an earlier version packed it, with an id that the log has a column for."""
    folder = tmp_path / "old"
    pack(trained("gru").checkpoint, folder, name="walk", taps={"hidden": "rnn:last"}, series=["site"], trust=True)
    data = json.loads((folder / "manifest.json").read_text())
    del data["sha256"]
    data["contract"]["series"][0]["name"] = "space"
    (folder / "manifest.json").write_text(json.dumps({**data, "sha256": digest(data)}))
    return folder


def test_an_artifact_that_was_packed_with_such_names_is_refused_by_all_that_would_use_it(
    old: Path, here: Path, tmp_path: Path
) -> None:
    message = rf"the artifact {old} cannot be used: expected another name than 'space' for the id column.*pack again"
    for use in (read_manifest, load):
        with pytest.raises(Refused, match=message):
            use(old)
    assert here == tmp_path
    for command in ("apply", "run", "backfill"):
        arguments = [command, "--set", f"model.artifact={old}"] + ([str(tmp_path)] if command == "backfill" else [])
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1, done.output
        assert "cannot be used: expected another name than 'space'" in done.output
        assert "Traceback" not in done.output


def test_two_ids_of_an_old_artifact_that_differ_by_capitals_are_refused(old: Path) -> None:
    data = json.loads((old / "manifest.json").read_text())
    manifest = Manifest.from_json(data)
    ids = (IdColumn(name="site", type="string"), IdColumn(name="Site", type="string"))
    both = replace(manifest, contract=replace(manifest.contract, series=ids))
    (old / "manifest.json").write_text(json.dumps(both.to_json()))
    with pytest.raises(Refused, match="differ by more than capitals"):
        read_manifest(old)
    check_columns(["site", "station"], ["hidden"])
