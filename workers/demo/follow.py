"""Start the reader in its own process, and compare what it read with what was sent.

In: the reader's JSON lines, the times of sending. Out: accuracy and latency so far. Knows neither Feast nor Kafka.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from undertow.core.errors import Refused
from undertow.demo.produce import EntityKey

PROGRAM = Path(__file__).with_name("reader.py")
END_S = 10.0
FINISH_S = 120.0


class Followed:
    """What the reader has reported so far."""

    def __init__(self, sent: Mapping[tuple[EntityKey, int], float]) -> None:
        """`sent` may go on growing."""
        self.predicted = self.correct = 0
        self.newest: dict[EntityKey, int] = {}
        self._sent = sent
        self._latencies: list[float] = []

    def take(self, line: str) -> None:
        """Record a line of the reader."""
        news = json.loads(line)
        for ids, event_us in news["seen"]:
            key = tuple(ids)
            self.newest[key] = event_us
            if (sent_at := self._sent.get((key, event_us))) is not None:
                self._latencies.append(news["t"] - sent_at)
        self.predicted, self.correct = news["predicted"], news["correct"]

    @property
    def accuracy(self) -> float | None:
        """The share of right predictions; None before the first."""
        return self.correct / self.predicted if self.predicted else None

    def latency_ms(self, share: float) -> float | None:
        """Return the time from sending a window to reading its embedding, at a share from 0 to 1."""
        return 1000 * float(np.quantile(self._latencies, share)) if self._latencies else None


class DemoReader:
    """The running reader."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        """Take the process; `log` is where its complaints go."""
        self._process, self._log = process, log
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Tell it to read history and train; the features must be in the store."""
        self._say("begin")

    def await_ready(self) -> None:
        """Wait until it has trained. Raises `Refused` if it ended instead."""
        line = self._next_line()
        if line is None:
            raise self._ended()

    def tell(self, followed: Followed) -> None:
        """From now on, pass its lines on."""

        def run() -> None:
            while (line := self._next_line()) is not None:
                followed.take(line)

        self._thread = threading.Thread(target=run, name="reader", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise `Refused` if it has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def finish(self) -> None:
        """Let it join all features with all labels, and end. Raises `Refused` where it cannot."""
        self._say("finish")
        if self._process.wait(FINISH_S):
            raise self._ended()

    def close(self) -> None:
        """End it, finished or not. Idempotent."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread:
            self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _say(self, word: str) -> None:
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):  # it has ended: whoever waits for it says why
                self._process.stdin.write(f"{word}\n")
                self._process.stdin.flush()

    def _next_line(self) -> str | None:
        """Return the next line of JSON: libraries print too."""
        for line in self._process.stdout or ():
            if line.startswith("{"):
                return line
        return None

    def _ended(self) -> Refused:
        tail = "\n".join(self._log.read_text("utf-8", errors="replace").splitlines()[-8:])
        return Refused(f"the reader of the features ended before its time; the end of {self._log}:\n{tail}")


@contextlib.contextmanager
def open_reader(
    *, repo: Path, service: str, history: Path, truth: Path, vectors: Path, log: Path
) -> Iterator[DemoReader]:
    """Start the reader; it ends with this block, or with this process where that is killed."""
    command = [sys.executable, "-P", str(PROGRAM)]  # -P: a folder of ours is nothing to import from
    options = {"repo": repo, "service": service, "history": history, "truth": truth, "vectors": vectors}
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    with log.open("w") as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # six rows need no second core
        )
    reader = DemoReader(process, log)
    try:
        yield reader
    finally:
        reader.close()
