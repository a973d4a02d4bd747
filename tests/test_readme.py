"""Whoever follows the README word by word gets what it says: its blocks, in their order, in one shell."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.markdown import blocks

ROOT = Path(__file__).parent.parent
BEGUN_BY = "make test"  # which runs this file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (ROOT / ".venv/ready").exists(), reason="the README's reader has run make: run these tests by `make test`"
    ),
]


def as_script(text: str) -> str:
    """Return the commands of a Markdown text as one shell script."""
    lines = ["set -euo pipefail"]
    for block in blocks(text):
        if block.language == "python":
            lines += ["python - <<'END'", block.text, "END"]
        elif block.language == "bash":
            lines += [line for line in block.text.splitlines() if not line.startswith(BEGUN_BY)]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all tracked files, with the environment that `make` has made."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.check_output([shutil.which("git"), "ls-files", "-c", "-o", "--exclude-standard"], cwd=ROOT)
    for name in listed.decode().splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture
def _all_gone(checkout: Path) -> Iterator[None]:
    """After the test no process works in the checkout: Kafka, Redis, Ray and ours are all started there."""
    yield
    assert [process.cmdline()[:4] for process in psutil.process_iter() if is_in(checkout, process)] == []


def is_in(folder: Path, process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def start(command: list[str], checkout: Path, output: Path) -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UNDERTOW_", "RAY_"))}
    with output.open("wb") as log:
        return subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log, start_new_session=True)


@pytest.mark.usefixtures("_all_gone")
def test_a_reader_who_runs_every_command_gets_what_it_says(checkout, tmp_path):
    script, output = tmp_path / "readme.sh", tmp_path / "output"
    script.write_text(as_script((checkout / "README.md").read_text()))
    code = start(["bash", "-x", str(script)], checkout, output).wait()
    said = output.read_text()
    assert code == 0, said[-4000:]
    for features in ("last observation", "mean and std of the window", "embedding", "embedding, mean and std"):
        assert re.search(rf"│ {features} +│ +\d+ │ +0\.\d{{3}} │", said), said[-4000:]
    assert (checkout / ".undertow/demo/space.png").stat().st_size > 50_000
    assert "64 numbers that describe the last 2.56 s" in said
    assert said.count(" 64 dimensions") == 3  # two lookups and a picture


@pytest.mark.usefixtures("_all_gone")
@pytest.mark.parametrize(
    ("step", "number"),
    [("windows are made of them", signal.SIGINT), ("readings of unseen wearers", signal.SIGTERM)],
    ids=["Ctrl-C in the backfill", "SIGTERM in the stream"],
)
def test_a_signal_in_the_middle_of_the_demo_leaves_no_process(checkout, tmp_path, step, number):
    output = tmp_path / "output"
    demo = start([".venv/bin/undertow", "demo"], checkout, output)
    while step not in output.read_text():
        assert demo.poll() is None, output.read_text()[-4000:]
        time.sleep(0.1)  # looking without a pause would take a core from the demo
    if number == signal.SIGINT:
        os.killpg(demo.pid, number)  # a terminal's Ctrl-C reaches the whole group
    else:
        demo.send_signal(number)
    assert demo.wait(90) == 1
    assert output.read_text().endswith("error: interrupted: everything that the demo had started is stopped\n")
    assert "Traceback" not in output.read_text()
