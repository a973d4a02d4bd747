"""Where windows begin and end on the steps of a layout.

In: which steps are whole, missing or neither. Out: `Spans`. Knows no value.
"""

from dataclasses import dataclass

import numpy as np

from undertow.observations.holes import Gridded, GridSteps
from undertow.schemas.arrow_columns import Mask, Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """n windows: each the steps `last - length + 1` to `last`."""

    last: Rows
    length: Rows
    longest: int = 0
    """The most steps that a window could have, were there no least length; 0 where none could end."""

    def take(self, rows: "Rows | Mask") -> "Spans":
        """Return some of them."""
        return Spans(last=self.last[rows], length=self.length[rows], longest=self.longest)


def cut_spans(
    layout: GridSteps, gridded: Gridded, *, ends: str, stride: int, min_length: int, max_length: int
) -> Spans:
    """Return the windows, in order of their ends; the longest that end there, up to `max_length`.

    A window lies in one run of grid points without a hole that stays, and begins and ends with a whole step. It ends at
    `observation`s, or anywhere on the `grid`, where the index is a multiple of `stride`.
    """
    steps = np.arange(len(layout.series))
    reaches = gridded.whole | gridded.missing
    begins = ~reaches
    begins[:1] = True
    same = layout.series[1:] == layout.series[:-1]
    follows = layout.index[1:] == layout.index[:-1] + 1
    begins[1:] |= ~same | ~follows | ~reaches[:-1]
    run = np.maximum.accumulate(np.where(begins, steps, 0))
    may_end = gridded.whole & layout.observed if ends == "observation" else gridded.whole
    last = np.flatnonzero(may_end & (layout.index % stride == 0))
    first = np.maximum(run[last], last - max_length + 1)
    if gridded.missing.any():
        next_whole = np.minimum.accumulate(np.where(gridded.whole, steps, len(steps))[::-1])[::-1]
        first = next_whole[first]
    length = last - first + 1
    longest = int(length.max(initial=0))
    return Spans(last=last, length=length, longest=longest).take(length >= min_length)
