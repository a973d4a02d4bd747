"""`undertow maintain --every 1s` in a process of its own, as its users run it, or hastier than they may.

In: a run's folder, where to arm failpoints. Out: a process to stop, to kill and to end. Knows nothing of faults.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from undertow.devstack.processes import LEASH
from undertow.stream.failpoints import FOLDER

MAIN = "from undertow.cli.main import main; main()"
SOON = f"import undertow.adapters.offline_table as table; table.LEAST_FILES = 4; {MAIN}"
"""It merges small files sooner, so that a short run shows it too."""
HASTY = f"import undertow.history.maintain as it; it.VACUUM_S = 0.0; {SOON}"
"""It vacuums at once what it replaced. That is right only where it is alone."""
LOOK_EVERY_S = 0.1


class Maintainer:
    """One process."""

    def __init__(self, folder: Path, log: Path, *, armed: Path | None, timeout_s: float, is_hasty: bool) -> None:
        """Start it. It meets the failpoints that are armed in a folder, if one is given."""
        self._log, self._timeout_s = log, timeout_s
        program = HASTY if is_hasty else SOON
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*_leashed(), *_python(program), "--every", "1s"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(armed),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        """Return the end of what it has printed: a line for each run."""
        return self._log.read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """Kill -9, also one that stands still."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End it as a service manager would, once it has gone through a run: before, it does not listen to signals."""
        give_up_at = time.monotonic() + self._timeout_s
        while self.is_alive() and not self.said():
            assert time.monotonic() < give_up_at, f"undertow maintain has said nothing for {self._timeout_s:.0f} s"
            time.sleep(LOOK_EVERY_S)
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(self._timeout_s)
        assert status == 0, f"undertow maintain has ended with {status}: {self.said()}"


def maintain_once(folder: Path) -> str:
    """Run it once, to its end, which must be a good one; return what it has said."""
    command = _python(MAIN)
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=_environment(None))
    assert done.returncode == 0, f"undertow maintain has ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def _python(program: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", program, "maintain"]


def _leashed() -> list[str]:
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]


def _environment(armed: Path | None) -> dict[str, str]:
    """Leave out the failpoints of the fleet: what is armed for a replica is not for the maintainer."""
    others = {name: value for name, value in os.environ.items() if name != FOLDER}
    return others | ({} if armed is None else {FOLDER: str(armed)})
