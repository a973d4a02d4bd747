"""Which call of a module a tap takes, where the module is called several times and nobody has said.

In: a trained model and taps as they were written. Out: a sentence for each that may have been meant otherwise. Knows no
file.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from workers.artifact.learn import PROBE, make_inputs
from workers.artifact.trained import Trained
from workers.core.features import Feature
from workers.core.taps import TapInfo, list_taps

LISTED = 4
"""Calls that are written out."""


def unsaid_calls(trained: Trained, taps: Mapping[str, Feature | str]) -> Iterator[str]:
    """Run the whole model once; yield a sentence for each text that names no call of a module that has several."""
    texts = [text for text in taps.values() if isinstance(text, str) and "#" not in text]
    silent = {Feature.parse(text).tap.path for text in texts}
    if not silent:
        return
    lengths = np.full(PROBE, trained.contract.max_length)
    seen = list_taps(trained.model, make_inputs(trained.preprocessing, trained.contract, lengths), trained.call)
    for info in seen:
        if info.path in silent and info.calls > 1:
            yield _sentence(info)


def _sentence(info: TapInfo) -> str:
    shapes = {tap.call: shape for tap, shape in reversed(info.shapes)}  # of each call's first tensor
    listed = [f"{info.path}#{call} {shapes.get(call, 'without a tensor')}" for call in range(info.calls)]
    return (
        f"one forward calls {info.path} {info.calls} times, and the tap takes call 0; for {PROBE} windows there are "
        + (", ".join(listed) if info.calls <= LISTED else f"{', '.join(listed[: LISTED - 1])}, ... {listed[-1]}")
    )
