"""The producer: messages without end.

In: a broker, what to send. Out: records. What the topic then holds is the truth that the checks read: a record whose
acknowledgement was lost may be there or not, and is sent again. Knows nothing of the fleet.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.chaos.broker import Broker
from tests.chaos.messages import NUMBER, Content, Message

EVERY_S = 0.1


class Producer:
    """A thread that sends until it is told to stop."""

    def __init__(self, broker: Broker, bootstrap: str, topic: str, content: Content) -> None:
        """Send nothing yet. `broker` knows how many partitions there are by now."""
        self._topic, self._broker, self._content = topic, broker, content
        # Idempotence would keep state that one lost batch spoils for good; a record sent twice is part of the run.
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            enable_idempotence=False,
            max_block_ms=120_000,
            metadata_max_age_ms=1_000,  # else it knows of added partitions after five minutes
            reconnect_backoff_max_ms=500,  # else it comes back up to 30 s after the broker, and recovery seems as slow
        )
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self.sent: set[int] = set()
        """Numbers that were acknowledged."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Send what was held back, and end when all is acknowledged."""
        self._stop.set()
        self._thread.join()
        self._producer.close()

    def probe(self) -> dict[str, int]:
        """Send something to every partition now; return for each site the event that is to become readable."""
        with self._lock:
            messages, events = self._content.probe(self._broker.partitions)
        self._send(messages)
        return events

    def send(self, make: Callable[[int], list[Message]]) -> None:
        """Send now what is made for so many partitions."""
        with self._lock:
            messages = make(self._broker.partitions)
        self._send(messages)

    def _run(self) -> None:
        while not self._stop.wait(0 if time.monotonic() < self._broker.hurry_until else EVERY_S):
            with self._lock:
                messages = self._content.batch(self._broker.partitions)
            self._send(messages)
        self._send(self._content.rest())

    def _send(self, messages: list[Message]) -> None:
        """Return when all is acknowledged: what may have got lost is sent again."""
        with self._broker.writing:
            records, partitions = messages, self._broker.partitions
            while records:
                sent = [(record, self._begin(record, record.site % partitions)) for record in records]
                with contextlib.suppress(KafkaError):
                    self._producer.flush()
                records = [record for record, future in sent if future is None or not future.succeeded()]
        self.sent.update(one.number for one in messages if one.number is not None)

    def _begin(self, message: Message, partition: int) -> Any:
        """Begin to send one record; return None where the client would not even begin."""
        headers = [] if message.number is None else [(NUMBER, str(message.number).encode())]
        try:
            return self._producer.send(
                self._topic, message.value, key=message.key, headers=headers, partition=partition
            )
        except (KafkaError, AssertionError, ValueError):  # no metadata yet, of a broker or of a partition
            time.sleep(EVERY_S)
            return None
