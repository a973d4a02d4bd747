"""What a stream has done so far: the counts behind its status and its metrics.

In: what the loop adds. Out: numbers that any thread may read. Knows no stream and no metric.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertow.schemas.records import Reject
from undertow.stream import histogram
from undertow.stream.events import ClockAhead
from undertow.stream.retry import Trouble


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a stream has done since it began. Written by the loop, read by anyone."""

    records: int = 0
    windows: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
    last_reject: dict[str, str] = field(default_factory=dict)
    """Where the last one of each reason was."""
    ignored_columns: int = 0
    odd_times: int = 0
    """Windows that were taken though their event time is hardly meant."""
    clock_ahead: int = 0
    """Windows that were readable before the time that their records were stamped with."""
    offsets: int = 0
    """Taken from the source."""
    lost: int = 0
    """Offsets that retention deleted before they were read, or that were passed over."""
    store_losses: int = 0
    """How often this stream saw first that the online store had lost data."""
    checkpoints: int = 0
    trouble: Trouble = field(default_factory=Trouble)
    """The stores and brokers that are being tried again."""
    latency: NDArray[np.int64] = field(default_factory=histogram.empty)
    """Append to readable: Kafka's timestamp of the record to the return of the online write; below 0 it counts as 0."""
    poll_s: float = 0.0
    """Waiting for records included."""
    embed_s: float = 0.0
    write_s: float = 0.0
    checkpoint_s: float = 0.0
    """From the beginning of a checkpoint until all of it was durable; the loop goes on meanwhile."""
    batches: dict[int, int] = field(default_factory=dict)
    """How many deliveries had at most 2**n windows, and more than 2**(n - 1), by n."""
    durable_ticks: float | None = None
    """When all that had been taken was last durable, by the monotonic clock."""

    def refused(self, rejects: Iterable[Reject]) -> None:
        """Count them, and keep where the last one of each reason was."""
        for reject in rejects:
            self.rejects[reject.reason] = self.rejects.get(reject.reason, 0) + 1
            self.last_reject[reject.reason] = f"{reject.record.partition}@{reject.record.offset}"

    def delivered(self, windows: int) -> None:
        """Count a delivery by the power of two that its windows do not exceed."""
        power = max(0, windows - 1).bit_length()
        self.batches[power] = self.batches.get(power, 0) + 1

    def took(self, seconds: NDArray[np.float64]) -> ClockAhead | None:
        """Count (n,) how long windows took from append to readable; return what is to be told where that is no time."""
        histogram.observe(self.latency, seconds)
        ahead = int(np.count_nonzero(seconds < 0))
        self.clock_ahead += ahead
        return ClockAhead(windows=ahead, seconds=float(-seconds.min())) if ahead else None
