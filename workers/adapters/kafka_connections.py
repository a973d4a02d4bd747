"""Detect that a broker was reconnected to, and for how long no broker has answered.

In: a consumer. Out: yes or no, seconds. Knows nothing of records.

A broker may come back with less data. A truncation by an election changes the leader epoch (KIP-320), which
kafka-python checks. A broker whose disk has lost its last writes may come back with the same epochs, but never over
the same connection.
"""

import time
from typing import Any


class KafkaConnections:
    """The connections of one consumer, and of the ones that replace it."""

    def __init__(self) -> None:
        """Start without a connection."""
        self._consumer: Any = None
        self._known: dict[Any, Any] = {}
        self._heard = time.monotonic()

    def watch(self, consumer: Any) -> None:
        """Watch this consumer from now on."""
        self._consumer, self._known = consumer, {}

    def are_renewed(self) -> bool:
        """Return whether some broker was reconnected to since the last call."""
        now = dict(self._consumer._manager._conns)  # noqa: SLF001 kafka-python does not report reconnections
        renewed = any(self._known.get(node, link) is not link for node, link in now.items())
        self._known |= now
        return renewed

    def silent_s(self) -> float:
        """Return the seconds since any broker has answered."""
        links = list(self._consumer._manager._conns.values())  # noqa: SLF001 as above
        reads = [link.transport.last_read for link in links if link.connected]
        self._heard = max([self._heard, *reads])
        return time.monotonic() - self._heard
