"""What a tap was taken to mean where nobody has said: the first of several calls, an axis of steps.

In: a trained model, taps as they were written and as they were learnt. Out: a sentence for each that may have been
meant otherwise. Knows no file.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from workers.artifact.layouts import PROBE
from workers.artifact.learn import make_inputs
from workers.artifact.trained import Trained
from workers.core.features import Feature, TappedFeature
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
        if len(info.calls) > 1:
            yield from (_sentence(path, info) for path in info.paths if path in silent)


def unsaid_axes(features: Sequence[TappedFeature]) -> Iterator[str]:
    """Yield a sentence for each feature that pools steps which are not the window's: their axis cannot be seen."""
    for one in features:
        pools, layout = one.feature.pools, one.layout
        if layout.time_axis is not None and layout.steps is None and all(part.pool != "flatten" for part in pools):
            yield (
                f"the steps at {one.feature.tap} do not follow the window's; axis {layout.time_axis} is taken for "
                f"them, all of which are pooled, and {layout.size // len(pools)} channels are left"
            )


def _sentence(path: str, info: TapInfo) -> str:
    shapes = [tuple(call.tensors[0][1].shape) if call.tensors else "without a tensor" for call in info.calls]
    listed = [f"{path}#{call} {shape}" for call, shape in enumerate(shapes)]
    return f"one forward calls {path} {len(listed)} times, and the tap takes call 0; for {PROBE} windows there are " + (
        ", ".join(listed) if len(listed) <= LISTED else f"{', '.join(listed[: LISTED - 1])}, ... {listed[-1]}"
    )
