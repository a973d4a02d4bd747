"""`undertow view`: from a file of embeddings to its pictures.

In: what to look at and where to write. Out: files. Knows no setting.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from schemas.embeddings import EVENT_TIMESTAMP
from workers.core.errors import Refused
from workers.view.colours import colour, names_of
from workers.view.draw import Picture, draw
from workers.view.page import write_page
from workers.view.points import Points, join_labels, read_points
from workers.view.project import project

SUFFIXES = (".html", ".png", ".svg")


def view(
    source: Path,
    outputs: Sequence[Path],
    *,
    feature: str | None = None,
    series: Sequence[str] = (),
    space: str | None = None,
    by: str | None = None,
    labels: Path | None = None,
    sample: int = 3_000,
    since_us: int | None = None,
    until_us: int | None = None,
    title: str | None = None,
) -> Points:
    """Draw the embeddings of `source` into each file of `outputs`, as its suffix says. Raises `Refused`."""
    if wrong := [path for path in outputs if path.suffix not in SUFFIXES]:
        message = f"expected an output that ends in {', '.join(SUFFIXES)}, found {wrong[0]}"
        raise Refused(message)
    points = read_points(
        source, feature=feature, series=series, space=space, sample=sample, since_us=since_us, until_us=until_us
    )
    if labels is not None:
        points = join_labels(points, labels)
    picture = Picture(
        title=title or f"The space of {points.feature}",
        subtitle=_subtitle(points),
        projection=project(points.vectors),
        colouring=colour(points, by),
    )
    times = _times(points)
    for path in outputs:
        if path.suffix == ".html":
            write_page(picture, names_of(points), times, path)
        else:
            draw(picture, path)
    return points


def _subtitle(points: Points) -> str:
    count, size = points.vectors.shape
    parts = [f"{count:,} embeddings of {size} dimensions"]
    if count < points.total:
        parts[0] = f"{count:,} of {points.total:,} embeddings, drawn evenly, of {size} dimensions"
    if points.space is not None:
        parts.append(f"space {points.space[:8]}")
    times = _times(points)
    if times[0]:
        parts.append(f"{times[0][:16]} to {times[-1][:16]} UTC")
    return " · ".join(parts)


def _times(points: Points) -> list[str]:
    if EVENT_TIMESTAMP not in points.rows:
        return [""] * len(points.rows)
    moments = pd.to_datetime(points.rows[EVENT_TIMESTAMP], utc=True)
    return list(moments.dt.strftime("%Y-%m-%d %H:%M:%S"))
