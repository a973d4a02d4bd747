"""Measure which inputs a vector depends on, by changing one input after another.

In: a trained model and its features. Out: a `Sight` for each. Knows no file.

Each batch of changed windows is compared bit by bit with the same batch unchanged, so that neither rounding nor the
place in the batch is mistaken for a dependency. Since a layer may be saturated at one value and not at another, changes
of several sizes, in both directions, are tried on several windows.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undertow.artifact.dry_runs.learn import make_inputs
from undertow.artifact.format.sight import FEW, PartSight, Sight
from undertow.artifact.pack.certify.probes import SERIES, WINDOWS, chosen_steps, other_columns, with_step
from undertow.artifact.pack.read.trained import Trained
from undertow.core.embedder import CPU_STEPS
from undertow.core.features import Pooling, TappedFeature
from undertow.core.inputs import Inputs
from undertow.core.pooling import align, pool
from undertow.core.taps import Taps

SIZES = (0.3, -3.0, 30.0)
"""What is added to a scaled input: within the range of training, at its edge, and far beyond it."""

Probe = tuple[int | str, Inputs]
"""(step from 0, or column; the inputs of `WINDOWS` windows with that changed)."""
Changes = dict[str, list[defaultdict[int | str, NDArray[np.bool_]]]]
"""By feature, for each pooling: (d,) bool, which channels a step or a column changes."""


def look(trained: Trained, features: Sequence[TappedFeature]) -> dict[str, Sight]:
    """Return what each feature depends on, before any reduction; features that cannot be run are left out."""
    lag = trained.preprocessing.max_lag
    width = trained.contract.max_length - lag
    base = make_inputs(trained.preprocessing, trained.contract, np.full(WINDOWS, width + lag))
    steps = chosen_steps(width)
    columns = dict(other_columns(trained, base))
    nothing = np.zeros(1, np.bool_)
    found: Changes = {one.name: [defaultdict(lambda: nothing) for _ in one.feature.pools] for one in features}
    at_once = max(1, CPU_STEPS // (width * WINDOWS))
    with Taps(trained.model, [one.feature.tap for one in features], trained.call) as running:
        runner = _Runner(running, features, base, width)
        tried = [
            runner.compare(((step, with_step(trained, base, step, size)) for step in steps), at_once, found)
            for size in SIZES
        ]
        runner.compare(((name, x) for name, drawn in columns.items() for x in drawn), at_once, found)
    if not any(tried):
        return {}
    return {one.name: _sight(one, found[one.name], steps, width, list(columns)) for one in features}


@dataclass(frozen=True, slots=True, eq=False)
class _Runner:
    """Runs changed windows and unchanged ones, and compares."""

    taps: Taps
    features: Sequence[TappedFeature]
    base: Inputs
    width: int
    plain: dict[int, dict[str, list[Tensor]]] = field(default_factory=dict)
    """The vectors of the unchanged windows, by how many times they are repeated in a batch."""

    def compare(self, probes: Iterator[Probe], at_once: int, found: Changes) -> bool:
        """Record what each probe changes; return whether the model runs on them, since some fail on extreme numbers."""
        while some := list(islice(probes, at_once)):
            try:
                if len(some) not in self.plain:
                    self.plain[len(some)] = self._vectors([self.base] * len(some))
                plain = self.plain[len(some)]
                changed = self._vectors([x for _, x in some])
            except Exception:  # noqa: BLE001 - a model may raise anything on such windows
                return False
            for name, poolings in plain.items():
                for number, expected in enumerate(poolings):
                    vectors = changed[name][number]
                    differs = (expected != vectors) & ~(expected.isnan() & vectors.isnan())
                    by_probe = differs.view(len(some), WINDOWS, -1).any(dim=1).numpy()
                    for (key, _), channels in zip(some, by_probe, strict=True):
                        found[name][number][key] = found[name][number][key] | channels
        return True

    def _vectors(self, batches: Sequence[Inputs]) -> dict[str, list[Tensor]]:
        hidden = self.taps.run(_joined(batches))
        with torch.inference_mode():
            return {
                one.name: [
                    pool(align(hidden[one.feature.tap], one.layout, None, self.width)[0], [part])
                    for part in one.feature.pools
                ]
                for one in self.features
            }


def _sight(
    one: TappedFeature,
    found: Sequence[Mapping[int | str, NDArray[np.bool_]]],
    steps: Sequence[int],
    width: int,
    columns: Sequence[str],
) -> Sight:
    seen = [name for name in columns if any(part[name].any() for part in found)]
    return Sight(
        parts=tuple(
            _part(part, np.stack([changes[step] for step in steps]), steps, width)
            for part, changes in zip(one.feature.pools, found, strict=True)
        ),
        inputs=tuple(seen),
        blind=tuple(name for name in columns if name not in seen and not name.startswith(SERIES)),
    )


def _part(part: Pooling, changes: NDArray[np.bool_], steps: Sequence[int], width: int) -> PartSight:
    """Summarise (steps, d) bool, which channels each step changes."""
    seen = [step for step, channels in zip(steps, changes, strict=True) if channels.any()]
    by_channel = changes.sum(axis=0)
    narrow = (by_channel > 0) & (by_channel * FEW <= len(seen))
    return PartSight(
        pool=str(part),
        looked_at=len(steps),
        steps=width,
        seen=len(seen),
        oldest=seen[0] + 1 if seen else 0,
        newest=seen[-1] + 1 if seen else 0,
        channels=changes.shape[1],
        narrow=int(narrow.sum()),
        narrow_seen=int(by_channel[narrow].max(initial=0)),
    )


def _joined(batches: Sequence[Inputs]) -> Inputs:
    return {name: _stack([batch[name] for batch in batches]) for name in batches[0]}


def _stack(values: Sequence[Any]) -> Any:
    if isinstance(values[0], list):
        return [torch.cat(along) for along in zip(*values, strict=True)]
    return torch.cat(list(values))
