"""The producer: numbered windows without end, some twice, some late, some corrected, and poison between them.

In: a broker. Out: records. What the topic then holds is the truth that `check` reads: a record whose acknowledgement
was lost may be there or not, and is sent again. Knows nothing of the fleet.
"""

import contextlib
import random
import threading
import time
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.chaos.broker import Broker
from tests.chaos.windows import POISON, SITES, is_correction, windows_of
from undertow.schemas.json_codec import encode_json

BATCH, EVERY_S, HELD_BACK, TWICE, POISONED = 20, 0.1, 0.05, 0.05, 0.02


class Producer:
    """A thread that sends until it is told to stop."""

    def __init__(self, broker: Broker, bootstrap: str, topic: str, seed: int) -> None:
        """Send nothing yet. `broker` knows how many partitions there are by now."""
        self._topic, self._broker = topic, broker
        # Idempotence would keep state that one lost batch spoils for good; a record sent twice is part of the run.
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            enable_idempotence=False,
            max_block_ms=120_000,
            metadata_max_age_ms=1_000,  # else it knows of added partitions after five minutes
            reconnect_backoff_max_ms=500,  # else it comes back up to 30 s after the broker, and recovery seems as slow
        )
        self._rng, self._stop, self._lock = random.Random(seed), threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._next = 0
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
        """Send a window to every partition now; return for each site the number that is to become readable."""
        with self._lock:
            numbers = list(range(self._next, self._next + SITES))
            self._next += SITES
        newest = {n % SITES % self._broker.partitions: n for n in numbers if not is_correction(n)}
        self._send([*newest.values()], [])
        return {f"s{n % SITES:03d}": n for n in newest.values()}

    def _run(self) -> None:
        late: list[int] = []
        while not self._stop.wait(0 if time.monotonic() < self._broker.hurry_until else EVERY_S):
            with self._lock:
                numbers = list(range(self._next, self._next + BATCH))
                self._next += BATCH
            held = [n for n in numbers if self._rng.random() < HELD_BACK]
            now = [n for n in numbers if n not in held]
            now += [n for n in now if self._rng.random() < TWICE]
            poison = [n for n in now if self._rng.random() < POISONED]
            if len(late) > BATCH:
                now, late = now + late, []
            late += held
            self._send(now, poison)
        self._send(late, [])

    def _send(self, numbers: list[int], poison: list[int]) -> None:
        """Return when all is acknowledged: what may have got lost is sent again."""
        with self._broker.writing:
            self._send_all(numbers, poison)

    def _send_all(self, numbers: list[int], poison: list[int]) -> None:
        wanted = zip(numbers, encode_json(windows_of(numbers)), strict=True)
        partitions = self._broker.partitions
        records = [(n, n % SITES % partitions, value) for n, value in wanted]
        records += [(n, n % SITES % partitions, POISON + str(n).encode()) for n in poison]
        while records:
            sent = [(record, self._begin(*record)) for record in records]
            with contextlib.suppress(KafkaError):
                self._producer.flush()
            records = [record for record, future in sent if future is None or not future.succeeded()]
        self.sent.update(numbers)

    def _begin(self, number: int, partition: int, value: bytes) -> Any:
        """Begin to send one record; return None where the client would not even begin."""
        try:
            return self._producer.send(self._topic, value, key=str(number).encode(), partition=partition)
        except (KafkaError, AssertionError, ValueError):  # no metadata yet, of a broker or of a partition
            time.sleep(EVERY_S)
            return None
