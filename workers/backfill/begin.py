"""The first `created_us` of a backfill's run: greater than any in the log and in every earlier run.

In: a recipe, how many rows its history has, the clock. Out: the recipe with `begin_us`. Knows no chunk and no Ray.

A run that was killed may have put rows online that no part has yet. So each run leaves a note of where its rows end
before it writes any, and the next one begins behind it, even if the clock has gone back since.
"""

from dataclasses import replace

import numpy as np

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_log import latest_in
from undertow.backfill.embed import BackfillRecipe
from undertow.stream.order import backfill_begin, stamp_backfill


def begin_run(recipe: BackfillRecipe, *, rows: int, now_s: float) -> BackfillRecipe:
    """Return the recipe of a run that begins now, in seconds since the epoch. Raises `Refused` or `Unavailable`."""
    notes = recipe.folder / "_runs"  # Arrow looks into no folder that begins with an underscore
    before = max((int(path.name) for path in notes.glob("[0-9]*")), default=0)
    begin_us = backfill_begin(round(now_s * 1e6), max(before, latest_in(recipe.home)))
    end_us = int(stamp_backfill(begin_us, np.array([rows]))[0])
    publish(notes / str(end_us), b"", within=recipe.home)
    return replace(recipe, begin_us=begin_us)
