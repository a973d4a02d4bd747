"""`undertow describe`: all of an artifact, for a person and for a program; notices are told whole here alone."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.packing import pack
from undertow.artifact.faster import prepare
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.cli.main import main
from undertow.commands.describe import _contract
from undertow.core.preprocessing import Categorical, LabelEncoder
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition, Record


@pytest.fixture(scope="module")
def packed(trained: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "a"
    taps = {"hidden": "lstm_encoder:last+mean", "static": "static_context_enrichment"}
    pack(trained("tft").checkpoint, folder, name="walk", taps=taps, trust=True)
    return folder


def describe(*arguments: str, width: int = 120, exit_code: int = 0) -> str:
    done = CliRunner().invoke(main, ["describe", *arguments], env={"COLUMNS": str(width)}, catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done.stdout


def test_a_person_reads_what_it_takes_what_it_gives_and_what_that_sees(packed: Path) -> None:
    said = describe(str(packed))
    view = read_manifest(packed).view()
    for line in (
        f"view         {view.view}",
        f"space        {view.space}",
        "│ series │ recording │ string, a join key",
        "│ past   │ mode      │ 4 to 12 steps: rest, run",
        "│ static │ place     │ a, b",
        "6 sample windows of 4 to 12 steps: finite, the same again, and within 1e-06:",
        "nothing: it runs as it was packed",
        "the columns of a Parquet file for undertow backfill, one window in each row",
        "\nseries: struct<recording: string>\nend: timestamp[us, tz=UTC]\npast: struct<",
    ):
        assert line in said
    assert "past 12/12 steps, newest yes" in said
    assert "past 0/12 steps, newest no" in said


def test_no_name_is_broken_however_narrow_the_terminal_is(packed: Path) -> None:
    assert "static_context_enrichment#0:none" in describe(str(packed), width=40)


def test_a_program_reads_the_same_and_its_sample_can_be_embedded(packed: Path) -> None:
    data = json.loads(describe(str(packed), "--json"))
    manifest = read_manifest(packed)
    whole = json.loads(json.dumps(manifest.to_json()))
    assert data["contract"] == whole["contract"]
    assert data["known_ids"] == {}
    assert (data["view"], data["name"], data["notices"]) == (manifest.view().view, "walk", [])
    assert [(one["name"], one["size"]) for one in data["features"]] == [("hidden", 16), ("static", 8)]
    assert [one["sees"]["parts"][0]["seen"] for one in data["features"]] == [12, 0]
    assert data["certificate"] == whole["certificate"]
    record = Record(partition=Partition("t", 0), offset=0, appended_us=0, value=json.dumps(data["sample"]).encode())
    decoded = decode_json([record], manifest.contract, max_record_bytes=1 << 20)
    assert decoded.rejects == ()
    found = load(packed).embed(decoded.windows)
    assert found.faults == ()
    assert np.isfinite(found.embeddings.features["hidden"]).all()


def test_notices_are_one_line_at_a_start_and_whole_here(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "MARGIN", -1.0)
    said = describe(str(packed))
    assert "modules rewritten together differ by" in said
    assert "static_variable_selection, " in said
    (notice,) = json.loads(describe(str(packed), "--json"))["notices"]
    short, whole = notice.split("\n")
    assert short.endswith("(the whole of it: undertow describe)")
    assert "lstm_encoder" in whole


def test_what_cannot_be_loaded_is_described_with_the_reason_and_the_exit_code_says_so(packed: Path) -> None:
    data = json.loads(describe(str(packed), "--json", "--set", "model.device=cuda:7", exit_code=1))
    (notice,) = data["notices"]
    assert notice.startswith("it cannot be loaded here: model.device is cuda:7")


def test_what_is_no_artifact_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["describe", str(tmp_path)])
    assert (done.exit_code, "expected an artifact in" in done.stderr) == (1, True)


def test_an_artifact_whose_weights_are_damaged_is_described_as_such_and_not_applied(
    packed: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(packed, damaged)
    with (damaged / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    assert "it cannot be loaded here" in describe(str(damaged), exit_code=1)
    settings = (f"--set=model.artifact={damaged}", f"--set=feast.repo={tmp_path}", f"--set=offline.path={tmp_path}/log")
    done = CliRunner().invoke(main, ["apply", *settings], catch_exceptions=False)
    assert done.exit_code == 1
    assert "altered or cut short after packing" in done.output


def test_the_ids_that_a_model_was_trained_on_are_listed_where_it_takes_no_others(packed: Path) -> None:
    manifest = read_manifest(packed)
    known = LabelEncoder(name="of recording", codes={f"r{number}": number for number in range(9)})
    use = Categorical(name="recording", role="series", encoder=known.name)
    changed = replace(
        manifest.preprocessing,
        encoders=(*manifest.preprocessing.encoders, known),
        categoricals=(*manifest.preprocessing.categoricals, use),
    )
    text = "string, a join key, in training only: r0, r1, r2, r3, r4, r5, r6, r7 and 1 more"
    assert ("series", "recording", text) in list(_contract(replace(manifest, preprocessing=changed)))
    open_to_all = replace(changed, encoders=(*manifest.preprocessing.encoders, replace(known, unknown=0)))
    assert ("series", "recording", "string, a join key") in list(
        _contract(replace(manifest, preprocessing=open_to_all))
    )
