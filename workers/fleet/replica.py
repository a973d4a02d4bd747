"""One replica without Ray: a stream for each artifact, which reads the assigned partitions until drained.

In: factories of the streams, and orders from other threads. Out: the streams' effects, and a status at any moment.
Knows nothing of actors.
"""

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from undertow.core.errors import Replaced, UndertowError
from undertow.core.secret_mask import MaskText, mask_patterns
from undertow.fleet.artifact_status import ArtifactStatus, fields_of, together
from undertow.fleet.recent import Recent
from undertow.fleet.status import FleetSize, ReplicaState, ReplicaStatus
from undertow.fleet.stream_runner import OpenStream, StreamRunner
from undertow.schemas.records import Partition
from undertow.stream.ports import Clock
from undertow.stream.quarantine_order import NO_QUARANTINE, QuarantineOrder
from undertow.stream.verdicts import verdict_of
from undertow.telemetry.logs import Line, say

log = logging.getLogger(__name__)


class Replica:
    """Runs its streams until drained; every method but `run` may be called from any thread and returns at once.

    A single stream runs in the calling thread. Several have a thread each, so that one that waits for a store does not
    delay the others. Where one ends with an error the others drain, and the replica ends.
    """

    def __init__(
        self,
        name: str,
        open_streams: Mapping[str, OpenStream],
        *,
        drain_timeout_seconds: float,
        max_embed_seconds: float = math.inf,
        clock: Clock = time.monotonic,
        lines: Callable[[], tuple[Line, ...]] = tuple,
        mask: MaskText = mask_patterns,
    ) -> None:
        """`open_streams` is by artifact name; nothing is opened before `run`. `lines` returns the log's newest.

        `mask` is for what the status says of errors.
        """
        self._name, self._drain_timeout_seconds, self._clock = name, drain_timeout_seconds, clock
        self._max_embed_seconds, self._mask = max_embed_seconds, mask
        self._runners = tuple(StreamRunner(artifact, opens, self._gives_up) for artifact, opens in open_streams.items())
        self._opening = threading.Lock()
        self._failing = threading.Lock()
        self._lines, self._recent, self._looking = lines, Recent(), threading.Lock()
        self._wanted: frozenset[Partition] = frozenset()
        self._quarantine = NO_QUARANTINE
        self._size = FleetSize()
        self._drain_by: float | None = None
        self._beginning, self._has_begun = threading.Lock(), False
        self._has_ended = False
        self._fault: BaseException | None = None
        self._error: str | None = None

    def run(self) -> None:
        """Read until drained, or until an error that is not retried; both end in the state `ended`.

        Every call but the first returns at once. An error that is none of ours is raised without its trace, which is
        in the log: Ray keeps and shows what an actor raises, and the trace may hold a secret.
        """
        with self._beginning:
            if self._has_begun:
                return
            self._has_begun = True
        first, *others = self._runners
        threads = [threading.Thread(target=self._run, args=(runner,), name=runner.artifact) for runner in others]
        try:
            for thread in threads:
                thread.start()
            self._run(first)
            for thread in threads:
                thread.join()
        finally:
            self._has_ended = True
        if self._fault is not None and not isinstance(self._fault, UndertowError):
            raise RuntimeError(self._error)

    def assign(
        self, partitions: Iterable[Partition], size: FleetSize, quarantine: QuarantineOrder = NO_QUARANTINE
    ) -> None:
        """Read exactly these partitions, from the next batch on."""
        self._wanted, self._size, self._quarantine = frozenset(partitions), size, quarantine
        for runner in self._runners:
            runner.assign(self._wanted, quarantine)

    def drain(self, size: FleetSize) -> None:
        """Finish the batch, write a checkpoint and end."""
        self._size = size
        if self._drain_by is None:
            self._drain_by = self._clock() + self._drain_timeout_seconds
            say(log, logging.INFO, "drain", "finishes what it has taken, writes a checkpoint and ends")
        self._end()

    def status(self, *, is_heartbeat: bool = False) -> ReplicaStatus:
        """Return the status; never waits for a stream."""
        parts = tuple(self._shown(runner.status(is_heartbeat=is_heartbeat)) for runner in self._runners)
        whole = together(parts)
        # A partition is read when every stream reads it: a fleet has caught up when all its artifacts have.
        lag = {p: behind for p, behind in whole.lag.items() if all(p in part.lag for part in parts)}
        counts = replace(whole.counts, offsets=min(part.counts.offsets for part in parts))
        whole = replace(whole, lag=lag, counts=counts)
        with self._looking:
            rate, recent = self._recent.see(self._clock(), counts.windows, counts.latency)
        return ReplicaStatus(
            **fields_of(whole),
            name=self._name,
            state=self._state(),
            pid=os.getpid(),
            node=socket.gethostname(),
            wanted=self._wanted,
            size=self._size,
            quarantine=self._quarantine,
            hangs=self._hangs(parts),
            artifacts=parts,
            windows_per_s=rate,
            recent_latency=recent,
            error=self._error,
            fault="none" if self._fault is None else verdict_of(self._fault).fault,
            lines=self._lines(),
            log=_log_file(),
        )

    def _shown(self, part: ArtifactStatus) -> ArtifactStatus:
        return part if part.blocked is None else replace(part, blocked=self._mask(part.blocked))

    def _hangs(self, parts: Iterable[ArtifactStatus]) -> str | None:
        for part in parts:
            if part.in_flight.seconds > self._max_embed_seconds:
                return (
                    f"the model of {part.artifact} has not returned for {part.in_flight.seconds:.0f} s, and more than "
                    f"{self._max_embed_seconds:g} s is taken for never (model.max_embed_seconds)"
                )
        return None

    def _state(self) -> ReplicaState:
        if self._has_ended:
            return "ended"
        if not all(runner.is_open for runner in self._runners):
            return "starting"
        return "running" if self._drain_by is None else "draining"

    def _run(self, runner: StreamRunner) -> None:
        try:
            with self._opening:  # one after another: loading a model changes global state of the process
                began = self._clock()
                runner.open()
                seconds = self._clock() - began
            if runner.is_open:  # else it was ordered to end before
                text = f"model and clients of {runner.artifact} are ready after {seconds:.1f} s"
                say(log, logging.INFO, "started", text, seconds=seconds, artifact=runner.artifact)
            runner.run()
        except BaseException as error:  # noqa: BLE001 `run` re-raises all but `UndertowError`, in its own thread
            self._fail(runner, error)

    def _fail(self, runner: StreamRunner, error: BaseException) -> None:
        """Keep the first error, and drain the other streams, which no longer wait for a store."""
        with self._failing:
            if self._fault is None:
                of_artifact = f"{runner.artifact}: " if len(self._runners) > 1 else ""
                self._error = self._mask(f"{of_artifact}{type(error).__name__}: {error}")
                self._fault = error
                self._say_why(error, self._error)
        self._end()

    def _say_why(self, error: BaseException, text: str) -> None:
        if isinstance(error, UndertowError):
            event = "replaced" if isinstance(error, Replaced) else "ended"
            say(log, logging.WARNING, event, text, error=text)
        else:
            log.error("the stream crashed", exc_info=error, extra={"event": "crashed"})

    def _end(self) -> None:
        for runner in self._runners:
            runner.end()

    def _gives_up(self) -> bool:
        return self._fault is not None or (self._drain_by is not None and self._clock() > self._drain_by)


def _log_file() -> str:
    """Return the file that Ray redirects this process's standard error to; empty where it does not."""
    try:
        target = Path("/proc/self/fd/2").readlink()
    except OSError:
        return ""
    return str(target) if target.is_file() else ""
