"""Notes for the user of `pack`: defaults that were assumed for a tap, and inputs that its vector does not depend on.

In: a trained model, its taps as written and as found by dry runs, and what they see. Out: one sentence for each point
that may surprise. Knows no file.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from undertow.artifact.dry_runs.layouts import PROBE, steps_axis
from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.format.sight import Sight
from undertow.artifact.pack.read.trained import Trained
from undertow.core.features import Feature, TappedFeature
from undertow.core.tap_texts import as_text
from undertow.core.taps import TapInfo, list_taps, paths_of

LISTED = 4
"""How many calls or names a note lists. A choice."""


def unsaid_calls(trained: Trained, taps: Mapping[str, Feature | str]) -> Iterator[str]:
    """Run the model once; yield a sentence for each tap that names no call although its module is called repeatedly."""
    paths = paths_of(trained.model)
    read = [(text, Feature.parse(text, paths).tap) for text in taps.values() if isinstance(text, str)]
    silent = {tap.path for text, tap in read if tap.call == 0 and "#0" not in text}
    if not silent:
        return
    lengths = np.full(PROBE, trained.contract.max_length)
    seen = list_taps(trained.model, make_inputs(trained.preprocessing, trained.contract, lengths), trained.call)
    for info in seen:
        if len(info.calls) > 1:
            yield from (_sentence(path, info) for path in info.paths if path in silent)


def unsaid_axes(features: Sequence[TappedFeature]) -> Iterator[str]:
    """Yield a sentence for each feature whose steps do not follow the window's: their axis had to be guessed."""
    for one in features:
        pools, layout = one.feature.pools, one.layout
        if layout.time_axis is not None and layout.steps is None and all(part.pool != "flatten" for part in pools):
            yield (
                f"the steps at {one.feature.tap} do not follow the window's; axis {steps_axis(layout)} is taken for "
                "them (from 0, of the shape that the module gives), all of which are pooled, and "
                f"{layout.size // len(pools)} channels are left"
            )


def unsaid_sight(features: Sequence[TappedFeature], sights: Mapping[str, Sight], horizon: int) -> Iterator[str]:
    """Yield a sentence for each important step or input on which a vector does not depend."""
    for one in features:
        sight = sights.get(one.name)
        if sight is None:
            continue
        what, steps = f"the feature {one.name} ({one.feature.tap})", one.layout.steps
        if sight.is_constant:
            yield f"{what} is the same whatever the past of a window holds; it depends on {_listed(sight.inputs)}"
            continue
        is_moved = steps is not None and steps not in {0, horizon}
        shape = f" has t{steps:+d} steps for the t that the model is given" if is_moved else ""
        shape += " (those behind the first t are left out)" if is_moved and (steps or 0) > 0 else ""
        spans = "; ".join(f"{part.pool} sees {part.span()}" for part in sight.parts)
        if not all(part.sees_newest for part in sight.parts):
            yield f"{what}{shape}{' and' * is_moved} has not seen the newest step: {spans}"
        elif is_moved:
            yield f"{what}{shape}: {spans}"
        for part in sight.parts:
            if part.is_narrow:
                yield (
                    f"{what}: {part.narrow} of the {part.channels} channels of {part.pool} have seen "
                    f"{part.narrow_seen} of {part.steps} steps, as the backward direction of a layer has at its last "
                    "step; mean takes every step of both"
                )
        if sight.blind:
            yield f"{what} does not depend on {_listed(sight.blind)}"


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + rest


def _sentence(path: str, info: TapInfo) -> str:
    shapes = [tuple(call.tensors[0][1].shape) if call.tensors else "without a tensor" for call in info.calls]
    listed = [f"{as_text(path)}#{call} {shape}" for call, shape in enumerate(shapes)]
    return f"one forward calls {path} {len(listed)} times, and the tap takes call 0; for {PROBE} windows there are " + (
        ", ".join(listed) if len(listed) <= LISTED else f"{', '.join(listed[: LISTED - 1])}, ... {listed[-1]}"
    )
