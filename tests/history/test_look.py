"""`undertow check` compares the online store with the log, and `undertow rebuild` makes them equal."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fleet import quick_feast
from tests.history.test_join import JUNE, VIEW, write_part
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.cli.main import main
from undertow.core.errors import Refused
from undertow.history.look import _sample

FEATURE_REPO = Path(__file__).parents[2] / "feature_repo"


def no_broker(*_):
    raise Refused("no broker here")


@pytest.fixture
def place(artifact, here, redis_address, feast_project, monkeypatch):
    """A repository and a log of 40 series, under both online stores; nothing is applied."""
    shutil.copytree(FEATURE_REPO, here / "feature_repo", ignore=shutil.ignore_patterns("data", "*.json"))
    for config in (here / "feature_repo").glob("*.yaml"):
        config.write_text(config.read_text().replace("project: undertow", f"project: {feast_project}"))
    monkeypatch.setenv("UNDERTOW_REDIS", redis_address)
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", str(artifact))
    monkeypatch.setenv("UNDERTOW_MODEL__CODE", json.dumps(["seed"]))
    monkeypatch.setattr("undertow.wiring.stores.apply", quick_feast.apply)
    for question in ("require_broker", "describe_topic", "refuse_live_group"):
        monkeypatch.setattr(f"undertow.commands.check.{question}", no_broker)
    log = view_folder(here / ".undertow/offline", read_manifest(artifact).view())
    for number in range(4):
        rows = [("a", lap, JUNE + 1_500_000 * (1 + number), JUNE, lap, 1.0 * number) for lap in range(number, 40)]
        write_part(log / f"windows/0/{number}.parquet", rows)
    return log


def undertow(*arguments):
    done = CliRunner().invoke(main, [*arguments], catch_exceptions=False, env={"COLUMNS": "300"})
    return done.output


def store_line(output):
    return next(line for line in output.splitlines() if "online store" in line)


@pytest.mark.redis
def test_a_store_that_was_switched_or_lost_is_told_and_filled_again(place):
    del place
    undertow("apply")
    assert "missing or older online, such as site=a, lap=" in store_line(undertow("check"))
    assert "40 of 40 series written to sqlite" in undertow("rebuild")
    line = store_line(undertow("check"))
    assert line.startswith("ok")
    assert re.search(r"looked at \d\d of 40 series in 4 of 4 parts of the offline log: all there", line), line
    assert "0 of 40 series written" in undertow("rebuild")

    to_redis = ["--set", "feast.config=feature_store.redis.yaml"]
    undertow("apply", *to_redis)
    line = store_line(undertow("check", *to_redis))
    assert line.startswith("failed")
    assert "fill the store from the log: undertow rebuild" in line
    assert "40 of 40 series written to redis" in undertow("rebuild", *to_redis)
    assert store_line(undertow("check", *to_redis)).startswith("ok")


def test_a_look_says_of_how_much_it_is_a_sample(tmp_path):
    for number in range(12):
        write_part(tmp_path / f"windows/0/{number}.parquet", [("a", lap, JUNE, JUNE, lap, 1.0) for lap in range(7)])
    assert str(_sample(tmp_path, VIEW)) == "looked at 5 of 7 series in 8 of 12 parts of the offline log"
    assert str(_sample(tmp_path / "none", VIEW)) == "looked at 0 of 0 series in 0 of 0 parts of the offline log"
