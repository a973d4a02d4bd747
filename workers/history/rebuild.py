"""`undertow rebuild`: fill an online store that was switched or lost, from the offline log.

In: the log of a view, an online sink. Out: the newest vectors of each series online, wherever the store holds none or
older ones. Knows neither models nor brokers.

It does not record its progress, which would be wrong if the store were lost again. If it is killed, it starts from the
beginning; that is cheap, since the sink skips rows that are there already, and safe beside a live stream.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from undertow.adapters.offline_history import with_local_parts
from undertow.adapters.offline_parts import require_intact
from undertow.adapters.offline_root import view_folder
from undertow.core.errors import Refused
from undertow.schemas.spaces import SpaceView
from undertow.schemas.times import format_time
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.stream.events import Event, Retrying
from undertow.stream.ports import OnlineSink
from undertow.stream.retry import Retry
from undertow.wiring.recipes import EmbedRecipe, embed_recipes, with_log
from undertow.wiring.restoring import newest_rows
from undertow.wiring.stores import open_online, publish_served

OnSeries = Callable[[int, int, int], None]
"""A function of (series done, all series, rows written)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The result of a rebuild."""

    series: int
    """How many series the log has."""
    written: int
    """How many rows were written; the others were online already, or newer ones."""
    seconds: float


def rebuild(
    log: AnyPath,
    view: SpaceView,
    online: OnlineSink,
    *,
    read_memory_bytes: int,
    retry: Retry,
    on_progress: OnSeries,
    as_of_us: int | None = None,
) -> Rebuilt:
    """Write the newest row of each series in the log's folder online. Raises `Refused` where there is no row.

    With `as_of_us`, microseconds since the epoch, of the rows that had been delivered by then. Memory is bounded by
    `read_memory_bytes`, whatever the number of series: their places are spilled, their vectors streamed.
    """
    began = time.monotonic()
    written = 0

    def fill(files: list[Path]) -> int:
        nonlocal written
        require_intact(files)
        done = 0
        with newest_rows(files, view, read_memory_bytes=read_memory_bytes, delivered_by_us=as_of_us) as found:
            if not (total := found.series):
                raise Refused(_nothing(log, view, as_of_us))
            on_progress(0, total, written)
            for rows in found.batches:
                written += retry(partial(online.write, rows))
                done += len(rows)
                on_progress(done, total, written)
        return total

    series = with_local_parts(log, fill)
    return Rebuilt(series=series, written=written, seconds=time.monotonic() - began)


def _nothing(log: AnyPath, view: SpaceView, as_of_us: int | None) -> str:
    if as_of_us is None:
        return f"no row of {view.view} below {log}, to fill the online store from; run `undertow backfill` first"
    return (
        f"no row of {view.view} below {log} had been delivered by {format_time(as_of_us)}; ask for a later --as-of, or "
        "leave it out for all rows"
    )


def run(settings: Settings, console: Console, *, as_of_us: int | None = None) -> tuple[Rebuilt, ...]:
    """Fill the online store for each artifact, one after another, with a progress bar."""
    recipes = [with_log(settings, recipe) for recipe in embed_recipes(settings)]
    rebuilt = tuple(_run_one(recipe, console, as_of_us) for recipe in recipes)
    publish_served(settings.feast)  # it was lost with the vectors
    return rebuilt


def _run_one(recipe: EmbedRecipe, console: Console, as_of_us: int | None) -> Rebuilt:
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
                read_memory_bytes=recipe.offline.read_memory_bytes,
                retry=retry(console),
                on_progress=lambda done, total, written: bar.update(task, completed=done, total=total, written=written),
                as_of_us=as_of_us,
            )
    finally:
        online.close()
    by_then = "" if as_of_us is None else f" delivered by {format_time(as_of_us)}"
    console.print(
        f"{view.view}: {rebuilt.written:,} of {rebuilt.series:,} series{by_then} written to {recipe.online.type} in "
        f"{rebuilt.seconds:.1f} s; the others were there as new or newer",
        highlight=False,
    )
    return rebuilt


def retry(console: Console, wait: Callable[[float], object] = time.sleep) -> Retry:
    """Return a retry that reports an unavailable store on the console; Ctrl-C ends it."""

    def tell(event: Event) -> None:
        if isinstance(event, Retrying):
            console.print(f"waiting: {event.error}", highlight=False, markup=False)

    return Retry(wait=wait, tell=tell)
