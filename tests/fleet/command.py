"""`undertow run` as a process of its own, and everything that it starts."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

UNDERTOW = Path(sys.executable).with_name("undertow")


class Command:
    """A running `undertow run`, and everything that it has started."""

    def __init__(self, process: subprocess.Popen, folder: Path, environment: dict[str, str]) -> None:
        self._process, self._folder, self._environment = process, folder, environment
        self._family: set[psutil.Process] = set()

    def wait_until(self, holds, timeout_s=180.0):
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

    def listens_on(self):
        """The addresses on which it, and all that it has started, can be reached."""
        self.look()
        found = set()
        for process in (psutil.Process(self._process.pid), *self._family):
            with contextlib.suppress(psutil.NoSuchProcess):
                sockets = process.net_connections("tcp")
                found |= {one.laddr.ip.removeprefix("::ffff:") for one in sockets if one.status == psutil.CONN_LISTEN}
        return found

    def press_ctrl_c(self):
        """As a terminal does: the signal goes to all processes of the foreground group."""
        self.look()
        os.killpg(self._process.pid, signal.SIGINT)

    def send(self, number):
        """To this process alone, as `kill` does."""
        self.look()
        self._process.send_signal(number)

    def die(self):
        """As by kill -9; return the actors that it had started, which nobody has told to end."""
        self.look()
        actors = []
        for process in self._family:
            with contextlib.suppress(psutil.NoSuchProcess):
                if "Actor" in "".join(process.cmdline()[:1]):
                    actors.append(process)
        self._process.kill()
        self._process.wait()
        return actors

    def end(self, timeout_s=60.0):
        """Wait for the end of it and of all that it started; return the exit code."""
        give_up_at = time.monotonic() + timeout_s
        while (code := self._process.poll()) is None:
            assert time.monotonic() < give_up_at, self.output()
            self.look()
            time.sleep(0.1)
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

    def beside(self, *arguments, home=None):
        """Run another command, as from a second terminal; return what it says, done or refused."""
        environment = self._environment if home is None else {**self._environment, "HOME": str(home)}
        done = subprocess.run(
            [UNDERTOW, *arguments], cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def output(self):
        return "".join((self._folder / name).read_text() for name in ("stdout", "stderr"))

    def _is_of_its_session(self, pid):
        with contextlib.suppress(ProcessLookupError):
            return os.getsid(pid) == self._process.pid
        return False


@contextlib.contextmanager
def running(settings, folder: Path, *arguments: str, home: Path | None = None) -> Iterator[Command]:
    """Start `undertow run` with these settings, in a session of its own and in an empty folder.

    With a `home` its Ray asks for the token that lies there, as it does for users; else it asks for none.
    """
    folder.mkdir()
    ray = tempfile.mkdtemp(prefix="ray-")  # not under tmp_path: a socket's path may have 107 characters
    keys = {
        "kafka": ("bootstrap", "topic", "group"),
        "model": ("artifact",),
        "feast": ("repo", "config"),
        "offline": ("path", "checkpoint_seconds"),
        "fleet": ("name", "num_cpus", "replicas", "address"),
    }
    ours = {
        f"UNDERTOW_{section}__{key}".upper(): str(getattr(getattr(settings, section), key))
        for section, names in keys.items()
        for key in names
    }
    quiet = {"RAY_TMPDIR": ray, "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "200"}
    inherited = {name: value for name, value in os.environ.items() if name not in {"RAY_AUTH_MODE", "XDG_CACHE_HOME"}}
    guarded = {"RAY_AUTH_MODE": "disabled"} if home is None else {"HOME": str(home)}
    environment = {**inherited, **ours, **quiet, **guarded}
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, for these tests and for what they start
    with (folder / "stdout").open("w") as stdout, (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [UNDERTOW, "run", *arguments],
            cwd=folder,
            env=environment,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    signal.signal(signal.SIGHUP, hangup)
    command = Command(process, folder, environment)
    try:
        yield command
    finally:
        command.kill()
        shutil.rmtree(ray, ignore_errors=True)
