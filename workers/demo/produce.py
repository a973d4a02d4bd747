"""Play windows into Kafka at a steady pace, in the order of their event times.

In: windows, a rate. Out: records keyed by series, and when each was sent. Knows neither models nor Feast.
"""

import threading
import time
from collections.abc import Callable, MutableMapping

from undertow.adapters.kafka_producer import Send, open_send
from undertow.schemas.json_codec import encode_json
from undertow.schemas.windows import WindowBatch
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Clock

EntityKey = tuple[str, ...]
Sent = MutableMapping[tuple[EntityKey, int], float]
"""When each window was sent, in seconds since the epoch, by its series and event time."""


def keys(windows: WindowBatch) -> list[EntityKey]:
    """Return the series of each window, ids in the order of the batch."""
    return list(zip(*(column.tolist() for column in windows.series.values()), strict=True))


def play(
    windows: WindowBatch,
    send: Send,
    sent: Sent,
    *,
    per_second: float,
    wait: Callable[[float], bool],
    clock: Clock = time.time,
) -> int:
    """Send window after window, each when it is due; return how many. `wait` sleeps and returns whether to stop."""
    values = encode_json(windows)
    began = clock()
    rows = zip(keys(windows), windows.end_us.tolist(), values, strict=True)
    for count, (series, end_us, value) in enumerate(rows):
        if wait(max(0.0, began + count / per_second - clock())):
            return count
        sent[series, end_us] = clock()
        send("/".join(series).encode(), value)
    return len(windows)


class Playing:
    """Windows being played by a thread of their own."""

    def __init__(self, settings: KafkaSettings, windows: WindowBatch, *, per_second: float) -> None:
        """Begin."""
        self.sent: dict[tuple[EntityKey, int], float] = {}
        self._settings, self._windows, self._per_second = settings, windows, per_second
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether everything was sent. Raises what made the thread stop."""
        if self._error:
            raise self._error
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Send no more, and wait for what was sent. Idempotent."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with open_send(self._settings) as send:
                play(self._windows, send, self.sent, per_second=self._per_second, wait=self._stop.wait)
        except Exception as error:  # noqa: BLE001 - `is_over` raises it in the thread that watches
            self._error = error
