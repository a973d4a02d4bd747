"""`undertow rebuild`: an online store that was switched or lost, filled again from the offline log.

In: the log of a view, an online sink. Out: the newest vectors of each series online, wherever the store holds none or
older ones. Knows neither models nor brokers.

It keeps no notes of how far it has come: a note would be believed after the store was lost once more. Killed and
started again it begins anew; the sink's guard makes what is there already cheap, and a live stream beside it harmless.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.embeddings import EmbeddingBatch
from schemas.spaces import SpaceView
from workers.adapters.offline_chains import sound_parts
from workers.adapters.offline_query import CREATED_US, EVENT_US, open_query
from workers.adapters.offline_root import view_folder
from workers.core.errors import Refused
from workers.core.events import Event, Retrying
from workers.core.ports import OnlineSink
from workers.patience import Patience, Trouble
from workers.recipes import EmbedRecipe, embed_recipes, with_log
from workers.settings import Settings
from workers.wiring import open_online

WRITE_ROWS, WRITE_BYTES = 2_048, 8 << 20
"""What is written at once, in rows and in bytes of vectors."""

OnProgress = Callable[[int, int, int], None]
"""Takes the series looked at, all series, and the rows written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild did."""

    series: int
    """In the log."""
    written: int
    """The others were online, or something newer of theirs was."""
    seconds: float


def rebuild(
    log: Path,
    view: SpaceView,
    online: OnlineSink,
    *,
    memory_bytes: int,
    patience: Patience,
    on_progress: OnProgress,
) -> Rebuilt:
    """Write the newest row of each series in the log's folder online. Raises `Refused` where there is no row.

    Memory is bounded by `memory_bytes`, whatever the number of series: their places are spilled, their
    vectors streamed.
    """
    began = time.monotonic()
    files = sound_parts(log)
    features = [name for name, _ in view.features]
    done = written = 0
    with (
        tempfile.TemporaryDirectory(prefix="undertow-") as spill,
        open_query(
            files, [c.name for c in view.series], features, memory_bytes=memory_bytes, spill=Path(spill)
        ) as query,
    ):
        total = query.count_series() if files else 0
        if not total:
            message = f"no row of {view.view} below {log}, to fill the online store from; run `undertow backfill` first"
            raise Refused(message)
        on_progress(0, total, 0)
        for batch in query.newest(WRITE_ROWS):
            for rows in _batches(batch, view):
                written += patience.keep_trying(partial(online.write, rows))
                done += len(rows)
                on_progress(done, total, written)
    return Rebuilt(series=total, written=written, seconds=time.monotonic() - began)


def _batches(found: Any, view: SpaceView) -> Iterator[EmbeddingBatch]:
    rows = min(WRITE_ROWS, max(1, WRITE_BYTES // (4 * sum(size for _, size in view.features))))
    for first in range(0, len(found), rows):
        piece = found.slice(first, rows)
        yield EmbeddingBatch(
            space=view.space,
            series={
                column.name: piece[column.name]
                .to_numpy(zero_copy_only=False)
                .astype(object if column.type == "string" else np.int64)
                for column in view.series
            },
            event_us=piece[EVENT_US].to_numpy(),
            created_us=piece[CREATED_US].to_numpy(),
            features={
                name: pc.list_flatten(piece[name]).to_numpy().reshape(len(piece), size) for name, size in view.features
            },
        )


def run(settings: Settings, console: Console) -> tuple[Rebuilt, ...]:
    """Rebuild what each artifact has online, one after another, with a progress bar."""
    recipes = [with_log(settings, recipe) for recipe in embed_recipes(settings)]
    return tuple(_run_one(recipe, console) for recipe in recipes)


def _run_one(recipe: EmbedRecipe, console: Console) -> Rebuilt:
    view = recipe.manifest.view()
    columns = (
        TextColumn(f"rebuild {view.view}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("series · {task.fields[written]:,} written"),
        TimeRemainingColumn(),
    )
    online = open_online(recipe.online)
    try:
        online.check()
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("rebuild", total=None, written=0)
            rebuilt = rebuild(
                view_folder(recipe.offline.path, view),
                view,
                online,
                memory_bytes=recipe.offline.read_memory_bytes,
                patience=patience(console),
                on_progress=lambda done, total, written: bar.update(task, completed=done, total=total, written=written),
            )
    finally:
        online.close()
    console.print(
        f"{view.view}: {rebuilt.written:,} of {rebuilt.series:,} series written to {recipe.online.type} in "
        f"{rebuilt.seconds:.1f} s; the others were there as new or newer",
        highlight=False,
    )
    return rebuilt


def patience(console: Console, wait: Callable[[float], object] = time.sleep) -> Patience:
    """Wait for a store that does not answer, and say so; Ctrl-C ends it."""

    def tell(event: Event) -> None:
        if isinstance(event, Retrying):
            console.print(f"waiting: {event.error}", highlight=False, markup=False)

    return Patience(
        clock=time.monotonic,
        wait=wait,
        give_up=lambda: False,
        tell=tell,
        trouble=Trouble(),
        jitter=random.random,
    )
