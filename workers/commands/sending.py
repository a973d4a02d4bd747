"""Records that are sent at a rate.

In: records, when each is due. Out: they are sent. Knows nothing of what they hold.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from undertow.adapters.kafka_producer import Send
from undertow.stream.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A record to send."""

    last: int
    """The index, in the batch, of its last window; the record is due when that window is."""
    windows: int
    key: bytes | None
    partition: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How windows are sent."""

    per_second: float
    batch: int
    create_partitions: int | None
    clock: Clock


def play(
    messages: list[Message],
    send: Send,
    *,
    began: float,
    sent: int,
    per_second: float,
    clock: Clock = time.monotonic,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Send each record when its last window is due; `sent` windows have been sent since `began`."""
    for message in messages:
        early = began + (sent + message.last) / per_second - clock()
        if early > 0:
            wait(early)
        send(message.key, message.value, message.partition)
