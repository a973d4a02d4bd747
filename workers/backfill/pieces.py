"""The pieces of a job's observations, beside its parts, until the job is done.

In: a recipe, observations. Out: the recipe of their pieces. Knows neither Ray nor models.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from undertow.adapters.offline_files import publish
from undertow.backfill.embed import BackfillRecipe
from undertow.backfill.observed import ObservedHistory, write_pieces
from undertow.settings.settings import Settings

FOLDER = "_observations"
"""Feast and Arrow look into no folder that begins with an underscore; DuckDB does, so pieces have a suffix of ours."""


@contextlib.contextmanager
def in_pieces(recipe: BackfillRecipe, observed: ObservedHistory, settings: Settings) -> Iterator[BackfillRecipe]:
    """Sort the observations into pieces, and yield the recipe of these.

    What was sorted is used again by a run that goes on after a failure, unless the observations, or how they become
    windows, have changed. It is deleted when the block ends without one: it is a copy of what was observed.
    """
    key = observed.key(settings.backfill.chunk_rows)
    folder = recipe.folder / FOLDER / key
    done = folder / "_done.json"
    if not done.exists():
        with tempfile.TemporaryDirectory(prefix="undertow-") as spill:
            count = write_pieces(
                observed,
                lambda name, content: publish(folder / name, content, within=recipe.home),
                chunk_rows=settings.backfill.chunk_rows,
                read_memory_bytes=settings.offline.read_memory_bytes,
                spill=Path(spill),
                key=key,
            )
        publish(done, json.dumps({"pieces": count}).encode(), within=recipe.home)
    yield replace(recipe, history=folder, observed=observed)
    done.unlink(missing_ok=True)  # first: without it the others are no whole
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
    if isinstance(folder, Path):
        with contextlib.suppress(OSError):  # an older key's pieces are beside it
            folder.rmdir()
            folder.parent.rmdir()
