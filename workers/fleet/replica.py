"""One replica without Ray: a loop that reads what it was told to, until it is told to stop.

In: a recipe's stream, and orders from other threads. Out: the stream's effects, and a status at any moment.
Knows nothing of actors; orders only set flags, which the loop looks at between batches.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable

from schemas.records import Partition
from workers.core.errors import Refused, UndertowError
from workers.core.ports import Clock
from workers.fleet.status import FleetSize, ReplicaState, ReplicaStatus
from workers.stream import Counts, Stream

OpenStream = Callable[[Callable[[], bool]], Stream]
"""Builds the stream inside the replica's process; it is given the question whether to give up on a silent store."""


class Replica:
    """Runs one stream in the calling thread; every other method may be called from any thread and returns at once."""

    def __init__(
        self, name: str, open_stream: OpenStream, *, drain_timeout_s: float, clock: Clock = time.monotonic
    ) -> None:
        """Nothing is opened before `run`."""
        self._name, self._open, self._drain_timeout_s, self._clock = name, open_stream, drain_timeout_s, clock
        self._wanted: frozenset[Partition] = frozenset()
        self._size = FleetSize()
        self._orders = threading.Event()
        self._drain_by: float | None = None
        self._state: ReplicaState = "starting"
        self._error: str | None = None
        self._is_refused = False
        self._stream: Stream | None = None

    def run(self) -> None:
        """Read until drained, or until an error that trying again does not mend; both end in the state `ended`."""
        try:
            self._stream = self._open(self._gives_up)
            self._state = "running"
            try:
                self._walk(self._stream)
            finally:
                self._stream.close()
        except UndertowError as error:
            self._error = f"{type(error).__name__}: {error}"
            self._is_refused = isinstance(error, Refused)
        except BaseException as error:
            self._error = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._state = "ended"

    def assign(self, partitions: Iterable[Partition], size: FleetSize) -> None:
        """Read exactly these partitions, from the next batch on."""
        self._wanted, self._size = frozenset(partitions), size
        self._orders.set()

    def drain(self, size: FleetSize) -> None:
        """Finish the batch, write a checkpoint and end."""
        self._size = size
        if self._drain_by is None:
            self._drain_by = self._clock() + self._drain_timeout_s
        self._orders.set()

    def status(self) -> ReplicaStatus:
        """Say what is going on; never waits for the stream."""
        stream = self._stream
        counts = stream.counts if stream else Counts()
        draining = self._state == "running" and self._drain_by is not None
        return ReplicaStatus(
            name=self._name,
            state="draining" if draining else self._state,
            pid=os.getpid(),
            node=socket.gethostname(),
            wanted=self._wanted,
            size=self._size,
            held=stream.held if stream else frozenset(),
            lag=stream.lag if stream and self._state != "ended" else {},
            windows=counts.windows,
            rejects=dict(counts.rejects),
            ignored_columns=counts.ignored_columns,
            offsets=counts.offsets,
            lost=counts.lost,
            checkpoints=counts.checkpoints,
            retries=counts.retries,
            blocked=counts.blocked,
            error=self._error,
            refused=self._is_refused,
            latency=counts.latency.copy(),
            poll_s=counts.poll_s,
            embed_s=counts.embed_s,
            write_s=counts.write_s,
            checkpoint_s=counts.checkpoint_s,
            batches=dict(counts.batches),
            durable_at=counts.durable_at,
        )

    def _walk(self, stream: Stream) -> None:
        while self._drain_by is None:
            self._orders.clear()
            stream.assign(self._wanted)
            if stream.held:
                stream.step()
            else:
                self._orders.wait(timeout=1.0)
        stream.checkpoint()

    def _gives_up(self) -> bool:
        return self._drain_by is not None and self._clock() > self._drain_by
