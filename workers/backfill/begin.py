"""The first `created_us` of a backfill's run: greater than any in the log and in every earlier run.

In: a recipe, how many rows its history has, the clock. Out: the recipe with `begin_us`. Knows no chunk and no Ray.

A run that was killed may have written rows online that are in no part yet. So each run notes the last `created_us` that
it may use before it writes anything, and the next run begins after that, even if the clock was set back since.
"""

from dataclasses import replace

import numpy as np

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_log import latest_in
from undertow.backfill.embed import BackfillRecipe
from undertow.stream.order import backfill_begin, stamp_backfill


def begin_run(recipe: BackfillRecipe, *, rows: int, now_s: float) -> BackfillRecipe:
    """Return the recipe of a run that begins now, in seconds since the epoch. Raises `Refused` or `Unavailable`."""
    notes = recipe.folder / "_runs"  # Arrow ignores folders that begin with an underscore
    before = max((int(path.name) for path in notes.glob("[0-9]*")), default=0)
    begin_us = backfill_begin(round(now_s * 1e6), max(before, latest_in(recipe.home)))
    end_us = int(stamp_backfill(begin_us, np.array([rows]))[0])
    publish(notes / str(end_us), b"", within=recipe.home)
    return replace(recipe, begin_us=begin_us)
