"""`undertow init` and `undertow settings`: what is written is all there is to set, and the example works as it says."""

import errno
import json
import os
import re
import resource
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
    assert "did you mean offline.checkpoint_seconds" in invoke("settings", "offline.checkpoint_second", exit_code=2)
    assert find_settings("kafka.event_time.max_ahead")[0].default == 86_400


def test_every_setting_is_found_by_its_key_and_its_variable_in_letters_of_any_case():
    for one in all_settings():
        for text in (one.key, one.variable, one.key.upper(), one.variable.lower(), f" {one.key.title()} "):
            assert find_settings(text)[0] == one


@pytest.mark.parametrize("section", ["KAFKA", "Kafka", "UNDERTOW_KAFKA", "undertow_kafka__", "kafka."])
def test_a_section_is_found_in_letters_of_any_case(section):
    assert find_settings(section) == find_settings("kafka")
    assert len(find_settings("UNDERTOW_KAFKA__EVENT_TIME")) == len(find_settings("kafka.event_time")) > 1


@pytest.mark.parametrize("key", ["", " ", ".", "__", "UNDERTOW_", "nope", "kafka.topi", "UNDERTOW_KAFKA__TOPI"])
def test_a_setting_that_there_is_not_is_wrong_usage_and_names_the_closest(key):
    said = invoke("settings", key, exit_code=2)
    assert ("did you mean kafka.topic" if "topi" in key.lower() else "undertow settings shows all") in said


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("pumps", "pumps"),
        ("Pumps of site 7 ü", "Pumps-of-site-7"),
        ("..hidden-", "hidden"),
        ("泵", "undertow"),
        ("p" * 99, "p" * 40),
    ],
)
def test_a_project_names_its_fleet_by_its_folder_so_that_no_command_in_it_reaches_that_of_another(
    folder, name, tmp_path, monkeypatch
):
    invoke("init", str(tmp_path / folder))
    monkeypatch.chdir(tmp_path / folder)
    assert load().fleet.name == name
    assert invoke("status", exit_code=1) == (
        f"error: no fleet named '{name}' runs here: undertow run starts one; see fleet.name, fleet.address\n"
    )


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


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def small_files():
    """A limit of this process: a file of more bytes cannot be written, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda largest: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("largest", [0, 1000, 3000])
def test_where_a_file_cannot_be_written_whole_nothing_is_left_and_the_next_time_all_is_made(
    largest, tmp_path, small_files
):
    (tmp_path / "train.py").write_text("mine")
    deep = tmp_path / "a" / "b"
    for folder in (tmp_path, deep):
        small_files(largest)
        said = invoke("init", str(folder), exit_code=1)
        small_files(resource.RLIM_INFINITY)
        (line,) = said.splitlines()
        assert re.match(rf"error: expected to write {folder}/\S+, but: File too large; nothing of the project", line)
        assert files_in(tmp_path) == ["train.py"]
    assert "left as they are: train.py\n" in invoke("init", str(tmp_path))
    assert not [name for name in files_in(tmp_path) if not (tmp_path / name).stat().st_size]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_what_cannot_be_written_is_named_with_what_to_do(code, tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    said = invoke("init", str(tmp_path / "a"), exit_code=1)
    assert f"expected to write {tmp_path}/a/undertow.toml, but: {os.strerror(code)}; nothing" in said
    assert ("make room on that disk" if code == errno.ENOSPC else "you may write there") in said
    assert files_in(tmp_path) == []


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", fail)
    assert "made in" in invoke("init", str(tmp_path))
    assert invoke("init", str(tmp_path)).startswith(f"made in {tmp_path}: nothing")


WAYS = {
    "a file": lambda path: path.write_text("mine"),
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to(path.parent / "elsewhere"),
    "a pipe or a device": os.mkfifo,
}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("p", ["a link to nothing"]),
        ("p/feature_repo", ["a file", "a link to nothing", "a pipe or a device"]),
        ("p/feature_repo/spaces", ["a file", "a link to nothing"]),
        ("p/undertow.toml", ["a folder", "a link to nothing", "a pipe or a device"]),
        ("p/feature_repo/embedding_views.py", ["a folder", "a link to nothing"]),
    ],
)
def test_what_is_in_the_way_is_named_and_nothing_is_written(name, kinds, tmp_path):
    for number, kind in enumerate(kinds):
        path = tmp_path / str(number) / name
        path.parent.mkdir(parents=True)
        WAYS[kind](path)
        before = files_in(tmp_path)
        said = invoke("init", str(tmp_path / str(number) / "p"), exit_code=1)
        assert f"found in the way: {path} ({kind}, where a " in said
        assert "nothing was written" in said
        assert files_in(tmp_path) == before


def test_all_that_is_in_the_way_is_named_at_once(tmp_path):
    (tmp_path / "undertow.toml").mkdir()
    (tmp_path / "feature_repo").write_text("")
    said = invoke("init", str(tmp_path), exit_code=1)
    assert all(f"{tmp_path}/{name} (" in said for name in ("undertow.toml", "feature_repo"))
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file (a file, where a folder must be)" in invoke("init", f"{tmp_path}/file/p", exit_code=1)


def test_a_link_to_what_is_there_is_taken_for_that(tmp_path):
    for name in ("mine", "repository"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine/settings").write_text("[kafka]\n")
    (tmp_path / "mine/undertow.toml").symlink_to("settings")
    (tmp_path / "mine/feature_repo").symlink_to(tmp_path / "repository")
    (tmp_path / "link").symlink_to("mine")
    assert "left as they are: undertow.toml\n" in invoke("init", str(tmp_path / "link"))
    assert (tmp_path / "repository/feature_store.yaml").exists()


def test_a_module_that_would_hide_ours_is_named(tmp_path):
    (tmp_path / "undertow.py").write_text("")
    assert "undertow.py hides the package undertow where PYTHONPATH=. is set" in invoke("init", str(tmp_path))


def test_the_repository_is_the_stock_one(tmp_path):
    invoke("init", str(tmp_path))
    ours = Path(__file__).parents[2] / "feature_repo"
    names = ["feature_store.yaml", "feature_store.redis.yaml", "embedding_views.py", "registry_lock.py", ".feastignore"]
    assert [n for n in names if (tmp_path / "feature_repo" / n).read_text() != (ours / n).read_text()] == []
