"""What a case is: a process that gets JSON on its standard input and answers JSON on its standard output.

In: `Given`, what the runner has prepared. Out: `Measured`. Knows nothing of what a case does.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One run of one case. Paths and addresses are strings, so that it is JSON."""

    count: int
    """Windows to embed, a multiple of the batch size where the case makes batches."""
    folder: str
    """Holds the checkpoint, the artifact and the Feast repositories."""
    kafka: str
    redis: str
    topic: str
    run: str
    """A name that no other run has had: for groups, fleets and topics of its own."""
    format: str = "json"
    """`json`, or `arrow` with 64 windows in a record."""
    is_compiled: bool = False
    """Whether Undertow runs the native code of its artifact."""
    replicas: int = 2
    """Of a fleet."""
    partitions: int = 4
    pids: dict[str, int] = field(default_factory=dict)
    """The broker's and Redis's processes, where they are ours."""
    seconds: float = 20.0
    """How long a steady load lasts."""

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run cost, from its first record polled to its last row readable."""

    windows: int
    wall_s: float
    cpu_s: float
    """Of the case's process and its children: user and system, all threads."""
    forward_s: float | None
    """CPU inside the model; None where the case cannot tell."""
    series: int
    """How many series must be readable now."""
    stages: dict[str, float] = field(default_factory=dict)
    """CPU seconds by stage, where the case can tell; together they are `cpu_s`."""


class Meter:
    """A stop-watch for wall-clock time, the process's CPU and the model's CPU."""

    def __init__(self) -> None:
        self.forward_s = 0.0
        self._wall: float | None = None
        self._cpu = 0.0

    def start(self) -> None:
        """Begin, at the first call; later calls do nothing, so that a case may call it for each record."""
        if self._wall is None:
            self._cpu, self._wall = cpu_s(), time.perf_counter()

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Count what runs inside as the model's CPU; the thread's, for the model has one thread."""
        before = time.thread_time()
        try:
            yield
        finally:
            self.forward_s += time.thread_time() - before

    def stop(self, windows: int, *, series: int = 0) -> Measured:
        """Return what was measured since the start."""
        assert self._wall is not None, "no record was polled"
        wall_s = time.perf_counter() - self._wall
        return Measured(
            windows=windows, wall_s=wall_s, cpu_s=cpu_s() - self._cpu, forward_s=self.forward_s or None, series=series
        )


def cpu_s() -> float:
    """Return the CPU seconds of this process, all threads, and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def answer(run: Callable[[Given], Any]) -> None:
    """Be a case: read `Given`, run, write the dataclass it returns. What libraries print goes to standard error."""
    reply = os.dup(1)
    os.dup2(2, 1)
    measured = run(Given(**json.load(sys.stdin)))
    with os.fdopen(reply, "w") as out:
        json.dump(asdict(measured), out)
