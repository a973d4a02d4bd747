"""Undertow, one replica without Ray: the loop that a replica runs, from Kafka to Redis and the offline log."""

from dataclasses import replace

import torch
from case import Given, Measured, Meter, answer
from data import SERIES
from product import FORWARD, count_stages, settings_of

from undertow.wiring.root import open_stream, stream_recipe


def run(given: Given) -> Measured:
    """Embed the whole topic; the end is a checkpoint, when all is readable, durable and committed."""
    torch.set_num_threads(1)
    meter, stages = Meter(), count_stages()
    recipe = stream_recipe(settings_of(given, topic=given.topic))
    stream = open_stream(recipe, lambda: False)
    stream.assign(recipe.partitions)
    stages.start()
    meter.start()  # a little early: the first poll is still to come
    while stream.counts.windows < given.count:
        stream.step()
        if not any(stream.lag.values()):
            stream.checkpoint()
    stream.checkpoint()
    spent = dict(stages.stop())
    measured = meter.stop(stream.counts.windows, series=min(given.count, SERIES))
    stream.close()
    return replace(measured, forward_s=spent[FORWARD], stages=spent)


if __name__ == "__main__":
    answer(run)
