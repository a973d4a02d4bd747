"""The bare forward as far as the tap: a hook that raises. What a product that did nothing but embed could reach."""

import contextlib

import torch
from case import Given, Measured, Meter, answer
from data import warm_windows
from model import BATCH, TAP, inputs_of, load


class Stop(Exception):  # noqa: N818  (not an error: it ends the forward)
    """The tap has fired."""


def stop(_module: torch.nn.Module, _inputs: object, _output: object) -> None:
    """End the forward here."""
    raise Stop


def run(given: Given) -> Measured:
    """Run the same batch again and again, each time as far as the tap."""
    model, meter = load(given.path), Meter()
    x = inputs_of(model, warm_windows(BATCH))
    model.get_submodule(TAP).register_forward_hook(stop)
    with torch.inference_mode():
        with contextlib.suppress(Stop):
            model(x)
        meter.start()
        for _ in range(given.count // BATCH):
            with meter.forward(), contextlib.suppress(Stop):
                model(x)
    return meter.stop(given.count)


if __name__ == "__main__":
    answer(run)
