"""`undertow forget` as it is typed: what it shows, asks and deletes, under Feast's own registry and stores."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.fleet import quick_feast
from tests.history.test_join import JUNE, write_part
from tests.history.test_look import FEATURE_REPO, no_broker, store_line
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.cli import forget as command
from undertow.cli.main import main

CONFIG = "--set=feast.config=feature_store.{}.yaml"
SITES = ("a", "it's", 'b"ä,lap=7')


@pytest.fixture
def place(artifact, here, feast_project, monkeypatch):
    """An applied repository, and a log of three sites with four laps each, in parts and a backfill."""
    shutil.copytree(FEATURE_REPO, here / "feature_repo", ignore=shutil.ignore_patterns("data", "*.json"))
    for config in (here / "feature_repo").glob("*.yaml"):
        config.write_text(config.read_text().replace("project: undertow", f"project: {feast_project}"))
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", str(artifact))
    monkeypatch.setenv("UNDERTOW_MODEL__CODE", json.dumps(["seed"]))
    monkeypatch.setattr("undertow.wiring.stores.apply", quick_feast.apply)
    for question in ("require_broker", "describe_topic", "refuse_live_group"):
        monkeypatch.setattr(f"undertow.commands.check.{question}", no_broker)
    run("apply")
    log = view_folder(here / ".undertow/offline", read_manifest(artifact).view())
    for number in range(3):
        rows = [(one, lap, JUNE + 10**6 * number, JUNE, lap, 1.0 * number) for one in SITES for lap in range(4)]
        write_part(log / f"@backfill/j/{number}.parquet", rows)
        for path in log.glob(f"@backfill/j/{number}.parquet"):
            said = {"undertow.format": "1", "undertow.job": "j", "undertow.chunk": str(number)}
            pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata(said), path)
    return log


def run(*arguments, code=0, **options):
    done = CliRunner().invoke(main, [*arguments], env={"COLUMNS": "300"}, **options)
    assert done.exit_code == code, done.output
    return done.output


def left(log: Path) -> set[tuple[str, int]]:
    tables = [pq.read_table(path, partitioning=None) for path in log.rglob("*.parquet")]
    return {(row["site"], row["lap"]) for table in tables for row in table.select(["site", "lap"]).to_pylist()}


ALL = {(site, lap) for site in SITES for lap in range(4)}


@pytest.mark.parametrize("store", ["sqlite", pytest.param("redis", marks=pytest.mark.redis), "postgres"])
def test_it_deletes_what_it_shows_and_check_is_content_and_a_second_run_finds_nothing(
    place, store, request, monkeypatch
):
    options = []
    if store != "sqlite":
        variables = {"UNDERTOW_REDIS": request.getfixturevalue("redis_address")}
        if store == "postgres":
            variables = request.getfixturevalue("postgres").variables()
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        options = [CONFIG.format(store)]
        run("apply", *options)
    run("rebuild", *options)
    named = ["--series", "site=it's,lap=2", "--series", json.dumps({"site": SITES[2], "lap": 0})]
    shown = run("forget", "pump", *named, "--series=site=nobody,lap=1", "--dry-run", *options)
    assert "6 rows in backfills; 2 of 3 series online" in shown
    assert "history has no row of 1 of these 3: site=nobody, lap=1" in shown
    assert "out of reach: records in Kafka" in shown
    assert left(place) == ALL
    assert "nobody can be asked here, and nothing was deleted" in run("forget", "pump", *named, *options, code=1)
    assert left(place) == ALL
    done = run("forget", "pump", *named, "--yes", *options)
    assert "deleted 6 rows in backfills; 2 series online" in done
    assert left(place) == ALL - {("it's", 2), (SITES[2], 0)}
    assert "nothing was written online for this series" in run("get", "pump", "site=it's", "lap=2", *options, code=1)
    assert "site=a" not in run("get", "pump", "site=a", "lap=2", *options)
    line = store_line(run("check", *options, code=1))  # which has no broker
    assert (line.startswith("ok"), "all there" in line) == (True, True), line
    again = run("forget", "pump", *named, *options)
    assert "no row; 0 of 2 series online" in again
    assert "deleted no row; 0 series online" in again
    assert "0 of 10 series written" in run("rebuild", *options)


def test_who_is_asked_may_say_no(place, monkeypatch):
    asked = []
    monkeypatch.setattr(command.sys.stdin.__class__, "isatty", lambda _: True, raising=False)

    def answer(answered):
        def ask(question):
            asked.append(question)
            return answered

        return ask

    from undertow.fleet.lease_places import is_alive  # noqa: PLC0415 likewise
    from undertow.history import forgetting  # noqa: PLC0415 Feast costs 4 s
    from undertow.settings.settings import load  # noqa: PLC0415 likewise

    said = []
    one = forgetting.Asked(name="pump", series=("site=a,lap=1",))
    assert not forgetting.run(load(), one, said.append, answer(False), is_alive=is_alive)
    assert (said[-1], left(place)) == ("nothing was deleted", ALL)
    assert forgetting.run(load(), one, said.append, answer(True), is_alive=is_alive)
    assert left(place) == ALL - {("a", 1)}
    assert asked == ["Delete all this for ever?"] * 2


def test_series_from_a_file_and_without_the_online_store(place, tmp_path):
    run("rebuild")
    (tmp_path / "leavers.csv").write_text("lap,site,why\n1,a,left\n2,a,left\n")
    done = run("forget", "pump", f"--series-file={tmp_path / 'leavers.csv'}", "--skip-online", "--yes")
    assert "online nothing was touched" in done
    assert left(place) == ALL - {("a", 1), ("a", 2)}
    assert "hidden" in run("get", "pump", "site=a", "lap=1")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["pump"], 2, "expected the series to forget"),
        (["pump", "--series", "lap=1"], 2, "expected site=s08,lap=8"),
        (["pumps", "--series", "lap=1"], 1, "has 'pumps', but: pump"),
        (["pump", "--series", "site=a,lap=1", "--set=offline.path=elsewhere"], 1, "found none: mount its disk"),
    ],
)
def test_wrong_use_is_told_and_nothing_deleted(place, arguments, code, told):
    assert told in run("forget", *arguments, "--yes", code=code)
    assert left(place) == ALL


def test_a_store_that_feast_cannot_delete_from_is_refused_before_anything_is_deleted(place, here):
    config = here / "feature_repo/feature_store.yaml"
    other = "feast.infra.online_stores.sqlite.SqliteOnlineStore"
    config.write_text(config.read_text().replace("type: sqlite", f"type: {other}"))
    said = run("forget", "pump", "--series=site=a,lap=1", "--yes", code=1)
    assert f"no way to delete single series from an online store of type {other}" in said
    assert "run this again with --skip-online" in said
    assert left(place) == ALL
