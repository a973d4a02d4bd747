"""The same by a user who knows that batches pay: one table, one data set, one forward and one push for 256 windows."""

import orjson
from case import Given, Measured, Meter, answer
from data import warm_windows
from features import open_store, push
from kafka import KafkaConsumer
from model import BATCH, embed, inputs_of, load


def run(given: Given) -> Measured:
    """Embed the first windows of the topic in full batches."""
    model, store, meter = load(given.path), open_store(given.path, given.redis), Meter()
    warm = warm_windows(BATCH)
    push(store, warm, embed(model, inputs_of(model, warm)))
    done, waiting = 0, []
    seen: set[str] = set()
    with KafkaConsumer(
        given.topic, bootstrap_servers=given.kafka, group_id=given.run, auto_offset_reset="earliest"
    ) as consumer:
        while done < given.count:
            polled = consumer.poll(timeout_ms=1000, max_records=BATCH - len(waiting))
            for records in polled.values():
                meter.start()
                waiting += [orjson.loads(record.value) for record in records]
            if len(waiting) < BATCH:
                continue
            batch = sorted(waiting, key=series_of)
            x = inputs_of(model, batch)
            with meter.forward():
                vectors = embed(model, x)
            push(store, batch, vectors)
            seen.update(map(series_of, batch))
            done, waiting = done + len(batch), []
    return meter.stop(done, series=len(seen))


def series_of(window: dict) -> str:
    """Return the series, by which the data set sorts."""
    return window["series"]["series"]


if __name__ == "__main__":
    answer(run)
