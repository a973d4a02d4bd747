"""By hand: a deque of the last observations of each series, and a DataFrame of it whenever it is full."""

from collections import defaultdict, deque

import numpy as np
import orjson
import pandas as pd
from case import Given, Measured, Meter, answer
from kafka import KafkaConsumer
from observed_data import BATCH, COLUMNS, EVERY_S, SERIES, STEPS, WindowSink, measured, windows_of

POLL = 512


def run(given: Given) -> Measured:
    """Read the whole topic; nothing is kept where the process ends."""
    meter, sink, wanted = Meter(), WindowSink(), windows_of(given.count)
    last: dict[str, deque[dict]] = defaultdict(lambda: deque(maxlen=STEPS))
    waiting: list[np.ndarray] = []
    with KafkaConsumer(
        given.topic, bootstrap_servers=given.kafka, group_id=given.run, auto_offset_reset="earliest"
    ) as consumer:
        while sink.windows + len(waiting) < wanted:
            for records in consumer.poll(timeout_ms=1000, max_records=POLL).values():
                meter.start()
                for record in records:
                    row = orjson.loads(record.value)
                    rows = last[row["site"]]
                    rows.append(row)
                    span = row["event_timestamp"] - rows[0]["event_timestamp"]
                    if len(rows) == STEPS and span == (STEPS - 1) * EVERY_S * 1_000_000:
                        waiting.append(pd.DataFrame(rows, columns=COLUMNS).to_numpy(np.float32))
            while len(waiting) >= BATCH:
                sink.take(np.stack(waiting[:BATCH]))
                del waiting[:BATCH]
        if waiting:
            sink.take(np.stack(waiting))
    return measured(meter.stop(sink.windows, series=SERIES), sink)


if __name__ == "__main__":
    answer(run)
