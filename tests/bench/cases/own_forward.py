"""Undertow's embedder on inputs that are ready: what its loop would reach if it did nothing else."""

import numpy as np
from case import Given, Measured, Meter, answer
from data import encoded
from model import BATCH
from product import contract_of, settings_of

from undertow.artifact.load.loader import load
from undertow.core.inputs import build_inputs
from undertow.schemas.json_codec import decode_json
from undertow.schemas.records import Partition, Record


def run(given: Given) -> Measured:
    """Run the same batch again and again."""
    model = settings_of(given, topic=given.topic).model
    embedder = load(model.artifact, device=model.device, threads=model.threads, run_compiled=model.run_compiled)
    records = [
        Record(partition=Partition(given.topic, 0), offset=number, appended_us=0, value=value)
        for number, value in enumerate(encoded(0, BATCH))
    ]
    windows = decode_json(records, contract_of(given), max_record_bytes=1 << 20).windows
    x, rows = build_inputs(windows, embedder._preprocessing).x, np.arange(BATCH)
    meter = Meter()
    embedder._forward(x, rows, 1)
    meter.start()
    for _ in range(given.count // BATCH):
        with meter.forward():
            embedder._forward(x, rows, 1)
    return meter.stop(given.count)


if __name__ == "__main__":
    answer(run)
