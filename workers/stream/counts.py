"""The counters of one stream, from which its status and its metrics are derived.

In: what the loop adds. Out: numbers that any thread may read. Knows no stream and no metric.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.records import Reject
from undertow.stream import histogram
from undertow.stream.events import ClockAhead
from undertow.stream.retry import RetryState


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counters since the stream began. Written by the loop, read by any thread."""

    records: int = 0
    windows: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    last_reject: dict[str, str] = field(default_factory=dict)
    """The place of the last reject, by reason."""
    ignored_columns: int = 0
    odd_times: int = 0
    """Windows accepted with an implausible event time."""
    clock_ahead: int = 0
    """Windows that were readable online before their record's timestamp (the stamping clock is ahead of ours)."""
    offsets: int = 0
    """Offsets read from the source."""
    lost: int = 0
    """Offsets that retention deleted before they were read, or that were skipped."""
    store_losses: int = 0
    """How often this stream was the first to detect that the online store had lost data."""
    checkpoints: int = 0
    retrying: RetryState = field(default_factory=RetryState)
    """The stores and brokers that are unavailable and being retried."""
    latency: NDArray[np.int64] = field(default_factory=histogram.empty)
    """End-to-end latency: from Kafka's timestamp of the record to the return of the online write; at least 0."""
    poll_s: float = 0.0
    """Seconds spent polling, including the wait for records."""
    embed_s: float = 0.0
    write_s: float = 0.0
    checkpoint_s: float = 0.0
    """Seconds from the start of a checkpoint until it was durable; the loop continues meanwhile."""
    batches: dict[int, int] = field(default_factory=dict)
    """By n, the number of deliveries with more than 2**(n - 1) and at most 2**n windows."""
    durable_ticks: float | None = None
    """When everything read was last durable, by the monotonic clock."""

    def refused(self, rejects: Iterable[Reject]) -> None:
        """Count rejects, and keep the place of the last one of each reason."""
        for reject in rejects:
            self.rejects[reject.reason] = self.rejects.get(reject.reason, 0) + 1
            self.last_reject[reject.reason] = f"{reject.record.partition}@{reject.record.offset}"

    def delivered(self, windows: int) -> None:
        """Count a delivery by the smallest power of two that is at least its number of windows."""
        power = max(0, windows - 1).bit_length()
        self.batches[power] = self.batches.get(power, 0) + 1

    def took(self, seconds: NDArray[np.float64]) -> ClockAhead | None:
        """Count (n,) end-to-end latencies; return the event to emit where some are negative."""
        histogram.observe(self.latency, seconds)
        ahead = int(np.count_nonzero(seconds < 0))
        self.clock_ahead += ahead
        return ClockAhead(windows=ahead, seconds=float(-seconds.min())) if ahead else None
