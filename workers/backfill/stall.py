"""Detect a stalled backfill: where no chunk finishes for a while, report what may be the cause.

In: what has been begun, and word of each chunk that ends. Out: a line a minute while nothing does. Knows no Ray, which
says none of this to the program that waits for it.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from undertow.backfill.attempts import RAYS_OWN_THRESHOLD, THRESHOLD, Attempts

AFTER_S = 60.0


class StallWatch:
    """Watches from a thread of its own, until it is closed."""

    def __init__(self, attempts: Attempts, tell: Callable[[str], object], *, after_s: float = AFTER_S) -> None:
        """Begin to watch."""
        self._attempts, self._tell, self._after_s = attempts, tell, after_s
        self._moves, self._has_ended = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="stall", daemon=True)
        self._thread.start()

    def moved(self) -> None:
        """Record that a chunk has finished."""
        self._moves.set()

    def close(self) -> None:
        """Watch no more."""
        self._has_ended = True
        self._moves.set()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        self.close()

    def _run(self) -> None:
        while not self._has_ended:
            if self._moves.wait(self._after_s):
                self._moves.clear()
            else:
                self._tell(self._words())

    def _words(self) -> str:
        begun, killed = self._attempts.count()
        doing = f"{begun} being embedded" if begun else "no worker has begun one"
        threshold = float(os.environ.get(THRESHOLD, RAYS_OWN_THRESHOLD))
        return (
            f"no chunk has come to its end for {self._after_s:.0f} s: {doing}, {killed} workers killed so far. Ray "
            f"ends workers while more than {threshold:.0%} of a node's memory is in use ({THRESHOLD}; here it is "
            f"{memory_in_use():.0%}), and starts none where it has no CPU or GPU to spare (ray status)"
        )


def memory_in_use() -> float:
    """Return the share of this machine's memory that is not available, from 0 to 1."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {line[0].rstrip(":"): int(line[1]) for line in lines}
    return 1.0 - kilobytes["MemAvailable"] / kilobytes["MemTotal"]
