"""`undertow describe`: all of an artifact, for a person and for a program; notices are told whole here alone."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.packing import pack
from undertow.artifact.faster import prepare
from undertow.artifact.format.manifest import read_manifest
from undertow.artifact.load.loader import load
from undertow.backfill.chunks import ChunkReader, cut
from undertow.cli.describe import SAMPLES
from undertow.cli.main import main
from undertow.commands.describe import _contract
from undertow.commands.samples import FORMS
from undertow.core.preprocessing import Categorical, LabelEncoder
from undertow.schemas.embeddings import offline_schema
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition, Record
from undertow.schemas.windows import WindowBatch
from undertow.schemas.windows_arrow import window_schema, windows_from_arrow, windows_to_arrow
from undertow.settings.sections import KafkaSettings
from undertow.wiring.formats import open_decode


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
    text = "string, a join key; it knows no others than r0, r1, r2, r3, r4, r5, r6, r7 and 1 more"
    assert ("series", "recording", text) in list(_contract(replace(manifest, preprocessing=changed)))
    open_to_all = replace(changed, encoders=(*manifest.preprocessing.encoders, replace(known, unknown=0)))
    assert ("series", "recording", "string, a join key") in list(
        _contract(replace(manifest, preprocessing=open_to_all))
    )


def run(*arguments: str) -> bytes:
    done = CliRunner().invoke(main, ["describe", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout_bytes


def read(form: Any, content: bytes, packed: Path, folder: Path) -> WindowBatch:
    """Read it as the product does: a record from Kafka, or a file."""
    contract = read_manifest(packed).contract
    if form == "parquet":
        path = folder / "window.parquet"
        path.write_bytes(content)
        (chunk,) = cut(path, contract, space="", chunk_rows=10).chunks
        table = ChunkReader(folder, window_schema(contract).names).read(chunk)
        found = windows_from_arrow(table, contract)
        assert list(found.bad) == []
        return found.windows
    record = Record(partition=Partition("t", 0), offset=0, appended_us=0, value=content)
    decoded = open_decode(KafkaSettings(format=form), contract)([record])
    assert (decoded.rejects, decoded.ignored_columns) == ((), 0)
    return decoded.windows


def test_every_form_is_the_same_window_and_is_embedded(packed: Path, tmp_path: Path) -> None:
    contract = read_manifest(packed).contract
    windows = {form: read(form, run(str(packed), "--sample", form), packed, tmp_path) for form in FORMS}
    tables = {form: windows_to_arrow(one, contract) for form, one in windows.items()}
    assert len({str(table.drop(["end"]).to_pylist()) for table in tables.values()}) == 1
    embedder = load(packed)
    for one in windows.values():
        found = embedder.embed(one)
        assert (found.faults, len(found.embeddings)) == ((), 1)
        assert np.isfinite(found.embeddings.features["hidden"]).all()


def test_a_program_gets_all_forms_and_the_columns_of_both_kinds_of_file(packed: Path, tmp_path: Path) -> None:
    told, manifest = json.loads(run(str(packed), "--json")), read_manifest(packed)
    windows = [read(form, base64.b64decode(told["samples"][form]), packed, tmp_path) for form in FORMS]
    assert len({str(windows_to_arrow(one, manifest.contract).to_pylist()) for one in windows}) == 1
    assert told["sample"] == json.loads(base64.b64decode(told["samples"]["json"]))
    log = offline_schema({one.name: one.type for one in manifest.contract.series}, ["hidden", "static"])
    for name, schema in (("window_columns", window_schema(manifest.contract)), ("log_columns", log)):
        assert told[name] == {field.name: str(field.type) for field in schema}


def test_a_person_reads_how_to_get_each_form_and_what_lies_in_the_log(packed: Path) -> None:
    said = run(str(packed)).decode()
    for form in FORMS:
        assert f"undertow describe {packed} --sample {form:<7} > window.{form}" in said
    log = said.partition("the columns of the offline log, one embedding in each row")[2]
    for line in ("event_timestamp: timestamp[us, tz=UTC]", "hidden: list<", "space: string", "origin_offset: int64"):
        assert f"\n{line}" in log


def test_a_sample_is_written_without_loading_the_model(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "manifest.json").write_bytes((packed / "manifest.json").read_bytes())
    table = pq.read_table(pa.BufferReader(run(str(tmp_path / "a"), "--sample", "parquet")))
    assert table.num_rows == 1
    assert table["end"][0].as_py().year == 2000  # so that it is not newer than any real one
    assert run(str(tmp_path / "a"), "--sample", "json").endswith(b"}\n")


def test_forms_are_those_of_the_command_and_both_outputs_at_once_are_wrong_usage(packed: Path) -> None:
    assert SAMPLES == FORMS
    done = CliRunner().invoke(main, ["describe", str(packed), "--sample", "json", "--json"])
    assert (done.exit_code, "leave one of them out" in done.output) == (2, True)
    assert CliRunner().invoke(main, ["describe", str(packed), "--sample", "xml"]).exit_code == 2
