"""`undertow maintain` as it is typed."""

import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.history.fold_world import P0, places_in, upto
from undertow.adapters.offline_history import whole_parts
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.artifact.format.manifest import read_manifest
from undertow.cli.main import main
from undertow.core.stop_signals import Stop
from undertow.history.maintaining import run
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.settings.settings import load
from undertow.stream.ports import ChainPart


class Log:
    """Call it to append a part of two rows."""

    def __init__(self, home, append) -> None:
        self.home, self.append = home, append

    def __call__(self):
        self.append()


@pytest.fixture
def log(artifact, tmp_path, monkeypatch):
    """A log of the artifact's view."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", str(artifact))
    monkeypatch.setenv("UNDERTOW_MODEL__CODE", '["seed"]')
    monkeypatch.setenv("UNDERTOW_OFFLINE__GRACE_SECONDS", "0")
    view = read_manifest(artifact).view()
    root = load().offline.path.absolute()
    make_log(root)
    home = claim_folder(root, view)
    chain = FileOfflineLog(root, view, cluster_id="c", topic_id="t", writer="", clock=lambda: 1e9)

    def append():
        first = chain.end(P0) or 0
        offsets = np.arange(first, first + 2)
        rows = EmbeddingBatch(
            space=view.space,
            series={"site": np.array(["a", "b"], object), "lap": offsets},
            event_us=offsets,
            created_us=offsets,
            features={name: np.zeros((2, size), np.float32) for name, size in view.features},
        )
        chain.publish(ChainPart(partition=P0, first=first, next=first + 2, embeddings=rows, offsets=offsets))

    return Log(home, append)


def maintain(*arguments):
    return CliRunner().invoke(main, ["maintain", *arguments], env={"COLUMNS": "300"})


def test_it_says_what_it_did_and_leaves_one_part_and_every_row(log):
    for _ in range(3):
        log()
    done = maintain()
    assert done.exit_code == 0, done.output
    assert "2 parts folded into the table of history (4 rows), 2 parts deleted" in done.output
    assert len([*(log.home / "windows/0").glob("*.parquet")]) == 1
    assert places_in(whole_parts(log.home)) == upto(6)
    assert "0 parts folded" in maintain().output


def test_it_fails_where_a_chain_had_to_be_left_and_says_which(log):
    for _ in range(4):
        log()
    next((log.home / "windows/0").glob("*2.parquet")).unlink()
    done = maintain()
    assert done.exit_code == 1
    assert "windows/0 lacks offsets 2 to 3" in done.output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(["--every", "soon"], 2, "such as 90s"), (["--every", "0"], 2, "at least 1s"), ([], 1, "has nothing")],
)
def test_wrong_use_is_told(artifact, tmp_path, monkeypatch, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERTOW_MODEL__ARTIFACT", str(artifact))
    monkeypatch.setenv("UNDERTOW_MODEL__CODE", '["seed"]')
    done = maintain(*arguments)
    assert (done.exit_code, told in done.output) == (code, True), done.output
    assert [*tmp_path.iterdir()] == []


def test_again_and_again_it_goes_on_after_a_chain_that_had_to_be_left(log, tmp_path):
    for _ in range(4):
        log()
    hole = next((log.home / "windows/0").glob("*2.parquet"))
    aside = hole.rename(tmp_path / "aside")
    waits = []

    class Scripted(Stop):
        def wait(self, seconds):
            waits.append(seconds)
            if len(waits) == 1:
                aside.rename(hole)
            return len(waits) == 2

    with (tmp_path / "said").open("w") as file:
        run(load(), Console(file=file, width=300), every_s=60, stop=Scripted())
    said = (tmp_path / "said").read_text()
    assert "left as it is, until the next time" in said
    assert "3 parts folded" in said
    assert waits == [60, 60]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(log, number):
    log()

    def send():
        while not (log.home / "@table").exists():  # only then does a handler stand
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    done = maintain("--every", "1h")
    sender.join()
    assert done.exit_code == 0, done.output
    assert done.output.endswith("told to end: what was folded stays, and the next run goes on\n")


def test_of_a_log_that_was_copied_without_its_links_nothing_is_folded(log, tmp_path):
    for _ in range(3):
        log()
    assert maintain().exit_code == 0
    root = log.home.parent
    shutil.copytree(root, tmp_path / "copy")  # which follows links
    done = maintain(f"--set=offline.path={tmp_path / 'copy'}")
    assert done.exit_code == 1
    assert "_delta_log to be a link to" in done.output
    assert "copy it again with links as links (cp -a)" in done.output
