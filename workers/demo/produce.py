"""Play readings into Kafka at a steady pace, in the order of their event times, one a record.

In: readings, a rate. Out: records keyed by series, and when each was sent. Knows neither models nor windows.
"""

import threading
import time
from collections.abc import Callable, MutableMapping

import orjson
import pandas as pd

from undertow.adapters.kafka_producer import Send, open_send
from undertow.schemas.embeddings import EVENT_TIMESTAMP
from undertow.settings.sections import KafkaSettings
from undertow.stream.ports import Clock

EntityKey = tuple[str, ...]
Sent = MutableMapping[tuple[EntityKey, int], float]
"""When each reading was sent, in seconds since the epoch, by its series and event time in microseconds."""
IDS = ("wearer", "side")


def play(
    readings: pd.DataFrame,
    send: Send,
    sent: Sent,
    *,
    per_second: float,
    wait: Callable[[float], bool],
    clock: Clock = time.time,
) -> int:
    """Send reading after reading, each when it is due; return how many. `wait` sleeps and returns whether to stop."""
    rows = readings.assign(**{EVENT_TIMESTAMP: readings[EVENT_TIMESTAMP].astype("int64")}).to_dict("records")
    began = clock()
    for count, row in enumerate(rows):
        if wait(max(0.0, began + count / per_second - clock())):
            return count
        series = tuple(row[name] for name in IDS)
        sent[series, row[EVENT_TIMESTAMP]] = clock()
        send("/".join(series).encode(), orjson.dumps(row))
    return len(rows)


class Playing:
    """Readings being played by a thread of their own."""

    def __init__(self, settings: KafkaSettings, readings: pd.DataFrame, *, per_second: float) -> None:
        """Begin."""
        self.sent: dict[tuple[EntityKey, int], float] = {}
        self._settings, self._readings, self._per_second = settings, readings, per_second
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
                play(self._readings, send, self.sent, per_second=self._per_second, wait=self._stop.wait)
        except Exception as error:  # noqa: BLE001 - `is_over` raises it in the thread that watches
            self._error = error
