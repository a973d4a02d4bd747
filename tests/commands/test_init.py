"""`undertow init` and `undertow settings`: what is written is all there is to set, and the example works as it says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import undertow
from undertow.cli.main import main
from undertow.commands.example import NEXT
from undertow.settings.reference import all_settings, commented_toml, find_settings
from undertow.settings.settings import Settings, load

BIN = Path(sys.executable).parent


def invoke(*arguments, exit_code=0):
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done.output


def flat(data, prefix=""):
    for key, value in data.items():
        if isinstance(value, dict) and f"{prefix}{key}" not in {one.key for one in all_settings()}:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_every_setting_is_listed_once_and_says_what_it_is_for():
    keys = [one.key for one in all_settings()]
    assert sorted(keys) == sorted(flat(Settings().model_dump()))
    assert [one.key for one in all_settings() if not one.text or not one.kind] == []


@pytest.mark.usefixtures("here")
def test_the_file_of_comments_sets_nothing_and_with_all_of_them_taken_away_the_defaults():
    Path("undertow.toml").write_text(commented_toml())
    assert load() == Settings()
    lines = commented_toml().splitlines()
    set_all = [re.sub(r"^# (\w+ = .)", r"\1", line) for line in lines]
    text = "\n".join(line for line in set_all if not line.startswith("#"))
    given = list(flat(tomllib.loads(text)))
    assert set(given) == {one.key for one in all_settings() if one.default is not None}
    Path("undertow.toml").write_text(text)
    assert load() == Settings()


def test_one_setting_a_section_and_what_is_none():
    assert invoke("settings", "offline.checkpoint_seconds").startswith(
        "offline.checkpoint_seconds  number; default: 2.0\n    UNDERTOW_OFFLINE__CHECKPOINT_SECONDS\n"
    )
    section = json.loads(invoke("settings", "backfill", "--json"))
    assert set(section) == {"backfill.chunk_rows", "backfill.replicas"}
    assert section["backfill.chunk_rows"]["default"] == 5000
    assert set(json.loads(invoke("settings", "--json"))) == {one.key for one in all_settings()}
    assert "did you mean offline.checkpoint_seconds" in invoke("settings", "offline.checkpoint_second", exit_code=1)
    assert find_settings("kafka.event_time.max_ahead")[0].default == 86_400


@pytest.mark.slow
def test_the_example_is_trained_and_packed_as_the_command_says_and_embeds_as_the_plain_module(tmp_path, monkeypatch):
    project = tmp_path / "pumps"
    said = invoke("init", str(project))
    commands = re.findall(r"^  (.+)$", said, re.MULTILINE)
    assert "\n".join(commands) == NEXT
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in commands[:2]:  # the README's commands, which are run as well, go on as these do
        shell = [shutil.which("bash"), "-c", command]
        done = subprocess.run(shell, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    windows = pd.read_parquet("windows.parquet")
    with undertow.load("artifact", code=["forecaster"], device="cpu") as embedder:
        vectors = embedder.embed(windows)["embedding"]
    net = __import__("forecaster").Forecaster()
    net.load_state_dict(torch.load("forecaster.pt", weights_only=True))
    past = [[list(step) for step in zip(one["flow"], one["level"], strict=True)] for one in windows["past"]]
    with torch.inference_mode():
        expected = net.rnn(torch.tensor(past, dtype=torch.float32))[0][:, -1]
    torch.testing.assert_close(torch.from_numpy(vectors), expected, atol=1e-6, rtol=0)
    del sys.modules["forecaster"]


def test_what_is_there_already_is_left_as_it_is(tmp_path):
    (tmp_path / "undertow.toml").write_text("[kafka]\n")
    said = invoke("init", str(tmp_path))
    assert "left as they are: undertow.toml\n" in said
    assert (tmp_path / "undertow.toml").read_text() == "[kafka]\n"
    assert "made in" in said
    assert "nothing" in invoke("init", str(tmp_path)).splitlines()[0]


def test_the_repository_is_the_stock_one(tmp_path):
    invoke("init", str(tmp_path))
    ours = Path(__file__).parents[2] / "feature_repo"
    names = ["feature_store.yaml", "feature_store.redis.yaml", "embedding_views.py", ".feastignore"]
    assert [n for n in names if (tmp_path / "feature_repo" / n).read_text() != (ours / n).read_text()] == []
