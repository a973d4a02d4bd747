"""`undertow run` in a process of its own, as its users run it, and the eye that asks how its fleet is.

In: settings, a folder. Out: a process to kill and to start again, statuses. Knows nothing of faults.
"""

import contextlib
import json
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from undertow.devstack.processes import LEASH
from undertow.fleet.status import FleetStatus
from undertow.settings.settings import Settings

ADVICE = re.compile(r"\bmv (\S+) (\S+)$", re.MULTILINE)
SET_ASIDE = re.compile(r"\bundertow maintain --set-aside (\S+)$", re.MULTILINE)
"""What the command tells an operator to do, in its last line and perhaps before."""
ANSWER_S, ASK_EVERY_S = 40.0, 0.2
MV = "/bin/mv"
RUN = "from undertow.cli.main import main; main()"


class Driver:
    """The foreground command of one fleet."""

    def __init__(self, settings: Settings, folder: Path, timeout_s: float) -> None:
        self._settings, self._folder, self._timeout_s = settings, folder, timeout_s
        self._eye: subprocess.Popen[bytes] | None = None
        self._run: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self._env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}  # where a fleet is found by its name
        (folder / "undertow.toml").write_text(_toml(settings.model_dump(mode="json", exclude_unset=True)))

    def start(self) -> None:
        """Start it as a service manager would: the same command in the same folder."""
        command = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), sys.executable, "-W", "ignore", "-c", RUN]
        with (self._folder / "run.log").open("ab") as log:
            self._said_before = log.tell()
            self._run = subprocess.Popen(
                [*command, "run"], cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env
            )

    def kill(self) -> None:
        """Kill -9 the command itself, and nothing that it started."""
        assert self._run is not None
        self._run.kill()
        self._run.wait()
        self._close_eye()  # joined to a Ray that has just died, it would wait for it

    def family(self) -> list[psutil.Process]:
        """Return all that the command has started: Ray and its workers."""
        assert self._run is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._run.pid).children(recursive=True)
        return []

    def status(self) -> FleetStatus:
        """Ask, however long it takes until a fleet answers."""
        return self.ask("status")

    def ask(self, *order: Any) -> Any:
        """Give an order to the fleet's controller, again and again until it has been heard."""
        give_up_at = time.monotonic() + self._timeout_s
        while (answer := self._try(order)) is None:
            assert time.monotonic() < give_up_at, f"no fleet has answered for {self._timeout_s:.0f} s: {self.said()}"
            assert self._run is not None
            if self._run.poll() is not None:  # `Restart=on-failure`: the killed may show signs of life
                assert self._run.returncode, f"undertow run has ended: {self.said()}"
                self._obey()
                self.start()
            time.sleep(ASK_EVERY_S)
        return answer

    def end(self) -> str:
        """Wait until it has ended by itself, with a message; return what it has printed since it was started."""
        assert self._run is not None
        status = self._run.wait(self._timeout_s)
        self._close_eye()
        assert status == 1, f"undertow run has ended with {status}: {self.said()}"
        return self._said_since()

    def drain(self) -> None:
        """Stop it as a service manager would, and wait for its end."""
        assert self._run is not None
        self._run.send_signal(signal.SIGTERM)
        status = self._run.wait(self._timeout_s)
        assert status == 0, f"undertow run has ended with {status}: {self.said()}"

    def close(self) -> None:
        """End everything."""
        self._close_eye()
        if self._run is not None and self._run.poll() is None:
            self._run.kill()
            self._run.wait()

    def said(self) -> str:
        """Return the end of what the command has printed."""
        return (self._folder / "run.log").read_text(errors="replace")[-2000:]

    def _said_since(self) -> str:
        """Return what the command has printed since it was started the last time."""
        with (self._folder / "run.log").open("rb") as log:
            log.seek(self._said_before)
            return log.read().decode(errors="replace")

    def _obey(self) -> None:
        """Do what the command has told to do when it ended, as an operator would, to the letter."""
        for source, target in ADVICE.findall(self._said_since())[-1:]:
            subprocess.run([MV, source, target], cwd=self._folder, check=True)
        for topic_id in SET_ASIDE.findall(self._said_since())[-1:]:
            order = [sys.executable, "-c", RUN, "maintain", "--set-aside", topic_id]
            subprocess.run(order, cwd=self._folder, env=self._env, check=True)

    def _try(self, order: tuple[Any, ...]) -> Any:
        """Ask once; None where nobody answers."""
        if self._eye is None or self._eye.poll() is not None:
            self._eye = self._open()
        try:
            pickle.dump(order, self._eye.stdin)
            self._eye.stdin.flush()
            if select.select([self._eye.stdout], [], [], ANSWER_S)[0]:
                return pickle.load(self._eye.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            pass
        self._close_eye()
        return None

    def _close_eye(self) -> None:
        if self._eye is not None:
            self._eye.kill()
            self._eye.wait()
            self._eye = None

    def _open(self) -> subprocess.Popen[bytes]:
        with (self._folder / "eye.log").open("ab") as log:
            eye = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.chaos.eye"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
            )
        pickle.dump(self._settings.fleet, eye.stdin)
        return eye


def _toml(sections: dict[str, dict[str, Any]]) -> str:
    """Write strings, numbers and lists of them, which JSON and TOML write alike."""
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
