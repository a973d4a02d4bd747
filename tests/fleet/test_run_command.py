"""`undertow run` as its user starts it: a process of its own, with a Ray of its own, ended by Ctrl-C or from beside."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from schemas.records import Partition
from workers.adapters.kafka_admin import committed, end_offsets
from workers.adapters.offline_log import chains
from workers.adapters.offline_parts import read_space
from workers.artifact.manifest import read_manifest

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.timeout(200)]

UNDERTOW = Path(sys.executable).with_name("undertow")
PARTITIONS = 4


class Command:
    """A running `undertow run`, and everything that it has started."""

    def __init__(self, process: subprocess.Popen, folder: Path, environment: dict[str, str]) -> None:
        self._process, self._folder, self._environment = process, folder, environment
        self._family: set[psutil.Process] = set()

    def wait_until(self, holds, timeout_s=90.0):
        give_up_at = time.monotonic() + timeout_s
        while not holds():
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < give_up_at, self.output()
            self.look()
            time.sleep(0.1)

    def look(self):
        """Remember who is there: Ray's processes may outlive their parent."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._family.update(psutil.Process(self._process.pid).children(recursive=True))

    def press_ctrl_c(self):
        """As a terminal does: the signal goes to all processes of the foreground group."""
        self.look()
        os.killpg(self._process.pid, signal.SIGINT)

    def end(self, timeout_s=60.0):
        """Wait for the end of it and of all that it started; return the exit code."""
        give_up_at = time.monotonic() + timeout_s
        while (code := self._process.poll()) is None:
            assert time.monotonic() < give_up_at, self.output()
            self.look()
            time.sleep(0.1)
        assert self._family
        _, alive = psutil.wait_procs(self._family, timeout=15)
        assert [process.cmdline() for process in alive] == []
        assert [pid for pid in psutil.pids() if self._is_of_its_session(pid)] == []
        return code

    def kill(self):
        """Leave nothing behind, whatever went wrong."""
        self.look()
        for process in (*self._family, self._process):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        self._process.wait()

    def beside(self, *arguments):
        """Run another command, as from a second terminal; return what it says, done or refused."""
        done = subprocess.run(
            [UNDERTOW, *arguments], cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def output(self):
        return "".join((self._folder / name).read_text() for name in ("stdout", "stderr"))

    def _is_of_its_session(self, pid):
        with contextlib.suppress(ProcessLookupError):
            return os.getsid(pid) == self._process.pid
        return False


@contextlib.contextmanager
def running(settings, folder: Path, *arguments: str) -> Iterator[Command]:
    """Start `undertow run` with these settings, in a session of its own and in an empty folder."""
    folder.mkdir()
    ray = tempfile.mkdtemp(prefix="ray-")  # not under tmp_path: a socket's path may have 107 characters
    keys = {
        "kafka": ("bootstrap", "topic", "group"),
        "model": ("artifact",),
        "feast": ("repo", "config"),
        "offline": ("path", "checkpoint_seconds"),
        "fleet": ("name", "num_cpus", "replicas"),
    }
    ours = {
        f"UNDERTOW_{section}__{key}".upper(): str(getattr(getattr(settings, section), key))
        for section, names in keys.items()
        for key in names
    }
    quiet = {"RAY_TMPDIR": ray, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200"}
    environment = {**os.environ, **ours, **quiet}
    with (folder / "stdout").open("w") as stdout, (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [UNDERTOW, "run", *arguments],
            cwd=folder,
            env=environment,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    command = Command(process, folder, environment)
    try:
        yield command
    finally:
        command.kill()
        shutil.rmtree(ray, ignore_errors=True)


@contextlib.contextmanager
def arriving(place, windows) -> Iterator[None]:
    """Windows keep arriving, the same ones over and over, until this block ends."""
    enough = threading.Event()

    def produce():
        while not enough.is_set():
            place.produce(windows, partitions=PARTITIONS)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def assert_committed_is_what_is_offline(settings) -> tuple[int, int]:
    """Return how many records are committed, and how many there are."""
    partitions = [Partition(settings.kafka.topic, index) for index in range(PARTITIONS)]
    space = read_manifest(settings.model.artifact).space
    offsets = committed(settings.kafka, partitions)
    assert [offsets[partition] for partition in partitions] == [c.next for c in chains(settings.offline.path, space)]
    rows = read_space(settings.offline.path, space).to_pandas()
    found = rows.groupby("origin_partition")["origin_offset"].apply(sorted)
    assert found.to_dict() == {partition.index: [*range(end)] for partition, end in offsets.items()}
    return sum(offsets.values()), sum(end_offsets(settings.kafka, partitions).values())


def assert_says(output, windows):
    """The last status as a table, and nothing that went wrong."""
    assert re.search(
        rf"^drained · 0 replicas · {windows:,} windows · lag .* · rejects 0 · append to", output, re.MULTILINE
    ), output
    assert re.search(r"replica .* state .* pid .* partitions .* lag .* windows", output), output
    assert "Traceback" not in output
    assert "rror" not in output


def test_ctrl_c_while_windows_arrive_drains_the_fleet_and_leaves_nothing_running(make_place, make_windows, tmp_path):
    place = make_place(partitions=PARTITIONS)
    place.produce(make_windows(400, pumps=40), partitions=PARTITIONS)
    offline = place.settings.offline.path

    def parts():
        return len([*offline.glob(f"*/{place.settings.kafka.topic}/*/*.parquet")])

    with running(place.settings, tmp_path / "here") as command:
        command.wait_until(lambda: parts() >= PARTITIONS)
        with arriving(place, make_windows(500, pumps=40)):
            command.wait_until(lambda: parts() >= 3 * PARTITIONS)
            command.press_ctrl_c()
            assert command.end() == 0, command.output()
        output = command.output()
    done, there = assert_committed_is_what_is_offline(place.settings)
    assert 400 < done < there
    assert_says(output, windows=done)


def test_another_terminal_sees_the_fleet_changes_its_size_and_ends_it(make_place, make_windows, tmp_path):
    place = make_place(partitions=PARTITIONS)
    place.produce(make_windows(2_000, pumps=40), partitions=PARTITIONS)
    with running(place.settings, tmp_path / "here", "-s", "fleet.replicas=1") as command:
        command.wait_until(lambda: '"windows": 2000' in command.beside("status", "--json"))
        assert "running · 1 replicas · 2,000 windows" in command.beside("status")
        assert command.beside("scale", "3") == "3 replicas run\n"
        (first, *_) = command.beside("scale", "1").splitlines()
        assert first == "1 replica run"
        assert command.beside("drain") == "drained: 2,000 windows, 0 rejects\n"
        assert command.end() == 0, command.output()
        output = command.output()
    assert assert_committed_is_what_is_offline(place.settings) == (2_000, 2_000)
    assert_says(output, windows=2_000)
