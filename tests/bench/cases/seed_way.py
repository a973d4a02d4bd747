"""What one writes first: a loop that takes one window at a time through pandas, the data set, a hook and a push."""

import orjson
from case import Given, Measured, Meter, answer
from data import warm_windows
from features import open_store, push
from kafka import KafkaConsumer
from model import embed, inputs_of, load


def run(given: Given) -> Measured:
    """Embed the first windows of the topic, each by itself."""
    model, store, meter = load(given.path), open_store(given.path, given.redis), Meter()
    warm = warm_windows(1)
    push(store, warm, embed(model, inputs_of(model, warm)))
    seen: set[str] = set()
    done = 0
    with KafkaConsumer(
        given.topic, bootstrap_servers=given.kafka, group_id=given.run, auto_offset_reset="earliest"
    ) as consumer:
        for record in consumer:
            meter.start()
            window = orjson.loads(record.value)
            x = inputs_of(model, [window])
            with meter.forward():
                vectors = embed(model, x)
            push(store, [window], vectors)
            done += 1
            seen.add(window["series"]["series"])
            if done == given.count:
                return meter.stop(done, series=len(seen))
    message = f"the topic ended after {done} of {given.count} windows"
    raise RuntimeError(message)


if __name__ == "__main__":
    answer(run)
