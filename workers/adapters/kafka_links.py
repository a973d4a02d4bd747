"""Whether a broker was away since it was last read from, and for how long it has not answered.

In: a consumer. Out: yes or no, seconds. Knows nothing of records.

It may have come back with less than it had. A leader epoch tells of a truncation by an election (KIP-320), and
kafka-python looks at it. A broker whose disk has lost its last writes may come back with the same epochs, but never
over the same connection.
"""

import time
from typing import Any


class Links:
    """Remembers the connections of one consumer, and of the one that replaces it."""

    def __init__(self) -> None:
        """Nothing is connected yet."""
        self._consumer: Any = None
        self._known: dict[Any, Any] = {}
        self._heard = time.monotonic()

    def watch(self, consumer: Any) -> None:
        """Look at this consumer from now on."""
        self._consumer, self._known = consumer, {}

    def are_renewed(self) -> bool:
        """Tell whether some broker was connected to anew since the last call."""
        now = dict(self._consumer._manager._conns)  # noqa: SLF001 kafka-python connects again without a word
        renewed = any(self._known.get(node, link) is not link for node, link in now.items())
        self._known |= now
        return renewed

    def silent_s(self) -> float:
        """Return for how many seconds no broker has answered anything."""
        links = list(self._consumer._manager._conns.values())  # noqa: SLF001 as above
        reads = [link.transport.last_read for link in links if link.connected]
        self._heard = max([self._heard, *reads])
        return time.monotonic() - self._heard
