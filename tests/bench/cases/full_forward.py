"""The bare forward of the whole model: inputs ready, nothing read, nothing written."""

import torch
from case import Given, Measured, Meter, answer
from data import warm_windows
from model import BATCH, inputs_of, load


def run(given: Given) -> Measured:
    """Run the same batch again and again."""
    model, meter = load(given.path), Meter()
    x = inputs_of(model, warm_windows(BATCH))
    with torch.inference_mode():
        model(x)
        meter.start()
        for _ in range(given.count // BATCH):
            with meter.forward():
                model(x)
    return meter.stop(given.count)


if __name__ == "__main__":
    answer(run)
