"""`undertow view`: from the offline log, or any Parquet, to pictures of the space.

In: settings and what to draw. Out: files, and lines that say what they show. Composes the room, no more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from undertow.adapters.offline_chains import require_whole
from undertow.adapters.offline_root import view_folder
from undertow.artifact.format.manifest import read_manifest
from undertow.core.errors import Refused, WrongUsage
from undertow.schemas.times import Span, parse_time
from undertow.settings.artifact_paths import only
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.view.colour import ENTITY, TIME, Colouring, categories, choose_colours
from undertow.view.labels import join_labels
from undertow.view.picture import describe
from undertow.view.read import SampledRows, read_rows
from undertow.view.write import make_picture, refuse_early, write


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOptions:
    """The options of the command."""

    source: Path | None
    """The Parquet to draw; None for the configured artifact's space in the offline log."""
    outputs: tuple[Path, ...]
    feature: str | None = None
    series: tuple[str, ...] = ()
    space: str | None = None
    """The first digits of the space id."""
    colour: str | None = None
    labels: Path | None = None
    sample: int = 5000
    since: str | None = None
    until: str | None = None
    title: str | None = None


def view(settings: Settings, choice: PictureOptions) -> Iterator[str]:
    """Write the pictures; yield a line for each, after one that says what was read. Raises `Refused`."""
    refuse_early(choice.outputs)
    span = _span(choice)
    source, name = (choice.source, None) if choice.source else _configured(settings)
    rows = read_rows(
        source,
        feature=choice.feature,
        sample=choice.sample,
        span=span,
        series=choice.series,
        space=choice.space,
    )
    names: tuple[str, ...] = ()
    if choice.labels is not None:
        rows, names = join_labels(rows, choice.labels)
    note = describe(rows)
    yield note
    picture = make_picture(
        rows.vectors,
        _colours(rows, choice.colour, names),
        title=choice.title or f"The space of {name or _name(rows, source)}",
        note=note,
        ids={column: rows.frame[column].to_numpy(object) for column in rows.ids},
        event_us=rows.event_us,
    )
    for output in choice.outputs:
        yield str(write(picture, output))


def _configured(settings: Settings) -> tuple[AnyPath, str]:
    view = read_manifest(only(settings.model.artifacts)).view()
    folder = view_folder(settings.offline.path, view)
    if not folder.is_dir():
        message = (
            f"the offline log has nothing of {view.view}, expected at {folder}: fill it with undertow run or undertow "
            "backfill, or name a Parquet file or folder to draw"
        )
        raise Refused(message)
    require_whole(folder)
    return folder, view.view


def _name(rows: SampledRows, source: AnyPath) -> str:
    return f"{rows.feature} in {source.name}" if rows.space is None else rows.feature


def _span(choice: PictureOptions) -> Span:
    try:
        since, until = (None if text is None else parse_time(text) for text in (choice.since, choice.until))
    except ValueError as error:
        found = " ".join(text for text in (choice.since, choice.until) if text)
        message = f"expected --since and --until as 2026-01-31T12:00:00Z, found {found}: {error}"
        raise WrongUsage(message) from error
    return Span(since_us=since, until_us=until)


def _colours(rows: SampledRows, colour: str | None, labels: tuple[str, ...]) -> Colouring:
    """Without a choice: by the labels if there is one column, else by entity, else by time, else all alike."""
    if colour is None and len(labels) == 1:
        colour = labels[0]
    if colour is None:
        colour = ENTITY if rows.ids else TIME if rows.event_us is not None else None
    if colour is None:
        return categories(np.full(len(rows.vectors), "row", object), title=rows.feature)
    return choose_colours(rows, colour)
