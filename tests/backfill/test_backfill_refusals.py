"""Rows of history that are refused: summed up for people, listed for programs."""

import json
from dataclasses import fields, replace

import pytest
from click.testing import CliRunner

from undertow.backfill.chunk_counts import ChunkCounts, LongestRun
from undertow.backfill.chunks import Chunk
from undertow.backfill.embed import BackfillRecipe
from undertow.backfill.job import BackfillReport
from undertow.backfill.reject_counts import RejectCounts, lines_of
from undertow.backfill.run import tell
from undertow.cli.main import main
from undertow.schemas.contract import Column, IdColumn, InputContract
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings

CHUNK = Chunk(id="c", path="h.parquet", stamp="", digest="", first=100, rows=50)
ROWS = [(3, "event-time", "too early"), (4, "number", "no number"), (9, "event-time", "too late")]


def test_refusals_add_up_whoever_counted_them_and_keep_an_example():
    one, two = RejectCounts.of(CHUNK, ROWS), RejectCounts.of(CHUNK, ROWS[1:])
    both = RejectCounts() + one + two
    assert (both.total, both.counts) == (5, {"event-time": 3, "number": 2})
    assert str(both) == "5 rows refused (event-time 3, number 2), for example row 103 of h.parquet: too early"
    assert RejectCounts.of(CHUNK, []) == RejectCounts()


@pytest.mark.parametrize("name", [one.name for one in fields(ChunkCounts)])
def test_each_counter_of_a_chunk_reaches_the_driver_and_adds_up(name):
    zero = ChunkCounts()
    some = {"rejects": RejectCounts.of(CHUNK, ROWS), "longest": LongestRun(steps=3)}.get(name, 3)
    one = replace(zero, **{name: some})
    assert ChunkCounts.from_json(one.to_json()) == one != zero
    assert one + zero == zero + one == one
    assert getattr(one + one, name) == some + some


def test_each_refused_row_is_a_line_with_its_place_in_the_file():
    lines = [json.loads(line) for line in lines_of(CHUNK, ROWS).splitlines()]
    assert lines[1] == {"path": "h.parquet", "row": 104, "reason": "number", "detail": "no number"}
    assert len(lines) == 3


def recipe(folder):
    contract = InputContract(
        series=(IdColumn(name="sensor", type="string"),), past=(Column(name="x"),), min_length=1, max_length=8
    )
    view = SpaceView(name="v", space="a" * 64, series=contract.series, features=(("mean", 1),))
    return BackfillRecipe(
        history=folder, contract=contract, view=view, offline=OfflineSettings(path=folder / "log"), job="first"
    )


def test_a_report_says_why_rows_were_refused_and_where_all_of_them_are_listed(tmp_path):
    rejects = RejectCounts.of(CHUNK, ROWS)
    whole = BackfillReport(
        chunks=3,
        skipped=1,
        seconds=2.0,
        counts=ChunkCounts(windows=9, odd_times=4, rejects=rejects),
        refused_before=1,
    )
    lines = list(tell(whole, recipe(tmp_path)))
    assert "9 windows embedded in 2.0 s, 3 rejected, 3 chunks, 1 of them done before" in lines[0]
    assert lines[1].startswith("4 of the windows have event times before 1990")
    assert lines[2] == str(rejects)
    assert lines[3].startswith("1 of the chunks done before")
    assert f"listed in {recipe(tmp_path).rejects}" in lines[4]
    assert not whole.took_nothing
    plain = BackfillReport(chunks=1, skipped=1, seconds=0.0)
    assert len(list(tell(plain, recipe(tmp_path)))) == 1
    assert not plain.took_nothing
    assert BackfillReport(chunks=1, skipped=0, seconds=0.0, counts=ChunkCounts(rejects=rejects)).took_nothing
    without = BackfillReport(chunks=2, skipped=0, rows=9, seconds=0.0)  # observations that give no window
    assert [without.took_nothing, replace(without, skipped=1).took_nothing] == [True, False]
    assert not replace(without, counts=ChunkCounts(windows=1)).took_nothing


@pytest.mark.parametrize(
    ("windows", "refused", "code"), [((9, 9), (3, 0), 0), ((9, 0), (0, 3), 1), ((0, 0), (0, 0), 0), ((0,), (3,), 1)]
)
def test_the_command_fails_where_every_row_was_refused_for_an_artifact(windows, refused, code, here, monkeypatch):
    reports = tuple(
        BackfillReport(
            chunks=1,
            skipped=0,
            seconds=0.0,
            counts=ChunkCounts(windows=n, rejects=RejectCounts.of(CHUNK, ROWS[:m])),
        )
        for n, m in zip(windows, refused, strict=True)
    )
    monkeypatch.setattr("undertow.backfill.run.run", lambda *_args, **_options: reports)
    assert CliRunner().invoke(main, ["backfill", str(here)]).exit_code == code
