"""The loop that runs one stream of a replica; a replica has one per artifact.

In: a factory of the stream, and orders from other threads. Out: the stream's effects, and a status at any moment.
Knows neither actors nor the other streams; orders only set flags, which the loop reads between batches.
"""

import logging
import threading
from collections.abc import Callable

from undertow.core.errors import Diverged, Refused
from undertow.fleet.artifact_status import ArtifactStatus
from undertow.schemas.records import Partition
from undertow.schemas.wording import are, counted
from undertow.stream.counts import Counts
from undertow.stream.loop import Stream
from undertow.stream.ports import Observed
from undertow.stream.quarantine_order import NO_QUARANTINE, QuarantineOrder
from undertow.stream.quarantine_reader import InFlight

log = logging.getLogger(__name__)

OpenStream = Callable[[Callable[[], bool]], Stream]
"""Builds the stream inside the replica's process; its argument returns whether to give up on an unavailable store."""


class StreamRunner:
    """Opens, runs and closes one stream in one thread; every other method may be called from any thread."""

    def __init__(self, artifact: str, open_stream: OpenStream, gives_up: Callable[[], bool]) -> None:
        """Open nothing before `open`."""
        self.artifact = artifact
        self._open, self._gives_up = open_stream, gives_up
        self._order: tuple[frozenset[Partition], QuarantineOrder] = (frozenset(), NO_QUARANTINE)
        self._is_ending = self._is_closed = self._has_failed = False
        self._orders = threading.Event()
        self._stream: Stream | None = None

    @property
    def is_open(self) -> bool:
        """Whether it accepts assignments."""
        return self._stream is not None

    def open(self) -> None:
        """Build the stream, unless `end` was called before."""
        if not self._is_ending:
            self._stream = self._open(lambda: self._has_failed or self._gives_up())

    def run(self) -> None:
        """Read the assigned partitions until told to end, then checkpoint.

        An error ends it at once: its pending write to an unavailable store is given up, and errors of closing are only
        logged.
        """
        stream = self._stream
        if stream is None:
            return
        try:
            self._read(stream)
        except BaseException as failure:
            self._has_failed = True
            try:
                stream.close()
            except Exception as error:  # noqa: BLE001 the error that ended the stream is the one to raise
                log.warning("%s could not be closed: %s: %s", self.artifact, type(error).__name__, error)
            if isinstance(failure, Refused) and (pending := stream.pending):
                read = f"{counted(pending, 'window')} {are(pending)}"
                message = (
                    f"{failure}. Since the last checkpoint of {self.artifact} {read} online, or about to be, and not "
                    "in the history: they are read again where the topic is still the same, else lost to it"
                )
                raise Refused(message) from failure
            raise
        else:
            stream.close()
        finally:
            self._is_closed = True

    def _read(self, stream: Stream) -> None:
        while not self._is_ending:
            self._orders.clear()
            stream.assign(*self._order)
            if self._orders.is_set():
                continue  # while chains were looked up the order was replaced: what it takes away may have an owner
            if stream.held:
                self._step(stream)
            elif not self._is_ending:
                self._orders.wait(timeout=1.0)
        stream.checkpoint()

    def _step(self, stream: Stream) -> None:
        try:
            stream.step()
        except Diverged as why:
            log.info("all is given away, and asked for again: %s", why)
            stream.assign(())

    def assign(self, partitions: frozenset[Partition], quarantine: QuarantineOrder) -> None:
        """Read exactly these partitions, from the next batch on."""
        self._order = partitions, quarantine
        self._orders.set()

    def end(self) -> None:
        """Finish the batch, write a checkpoint and end."""
        self._is_ending = True
        self._orders.set()

    def status(self, *, is_heartbeat: bool = False) -> ArtifactStatus:
        """Return the status; never waits for the stream."""
        stream = self._stream
        return ArtifactStatus(
            artifact=self.artifact,
            held=stream.held if stream else frozenset(),
            ends=stream.ends if stream else {},
            in_flight=stream.quarantine.ask(is_heartbeat=is_heartbeat) if stream else InFlight(),
            lag=stream.lag if stream and not self._is_closed else {},
            counts=stream.counts if stream else Counts(),
            blocked=stream.retrying.blocked if stream else None,
            durable_at=stream.durable_at if stream else None,
            observed=stream.observed() if stream else Observed(),
        )
