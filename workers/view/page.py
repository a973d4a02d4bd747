"""Write a picture as one HTML file that describes the point under the pointer.

In: a `Picture`. Out: a page without any network access, with all texts as data. Knows no drawing library: the script in
`page.html` draws.
"""

import html
import json
import re
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from undertow.view.colour import INK, VIRIDIS, Categories, Colouring
from undertow.view.picture import PCA_TITLE, TSNE_TITLE, Picture

GRID = 9999
"""Coordinates are integers up to this: finer than any screen, and short to write."""
PLACEHOLDER = re.compile(r"{{(\w+)}}")


def render(picture: Picture) -> bytes:
    """Return the page."""
    # In a script element only `<` could end or open anything; JSON may write it by its number.
    data = json.dumps(_data(picture), ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )
    parts = {"title": html.escape(picture.title), "data": data}
    template = files("undertow.view").joinpath("page.html").read_text("utf-8")
    return PLACEHOLDER.sub(lambda found: parts[found[1]], template).encode()


def _data(picture: Picture) -> dict[str, Any]:
    horizontal, vertical = picture.axes()
    return {
        "title": picture.title,
        "note": picture.note,
        "grid": GRID,
        "plots": [
            {
                "title": PCA_TITLE,
                "points": _grid(picture.projection.pca),
                "horizontal": horizontal,
                "vertical": vertical,
            },
            {
                "title": TSNE_TITLE,
                "points": _grid(picture.projection.tsne),
                "horizontal": picture.tsne_axis(),
                "vertical": "",
            },
        ],
        "ids": {name: _dictionary(values) for name, values in picture.ids.items()},
        "time": None if picture.event_us is None else picture.event_us.tolist(),
        "colour": _colour(picture.colouring),
    }


def _grid(points: NDArray[np.float64]) -> list[int]:
    """Return x, y, x, y, ... from 0 to `GRID`, each axis filled."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    shares = np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    places: list[int] = np.rint(shares * GRID).astype(int).ravel().tolist()
    return places


def _dictionary(values: NDArray[Any]) -> dict[str, Any]:
    """Return each value once, as text, and each row's position among them."""
    codes, found = pd.factorize(np.array([str(value) for value in values], object))
    return {"values": found.tolist(), "codes": codes.tolist()}


def _colour(colouring: Colouring) -> dict[str, Any]:
    if isinstance(colouring, Categories):
        entries = [
            {"name": entry.name, "colour": None if entry.colour == INK else entry.colour, "marker": entry.marker}
            for entry in colouring.entries
        ]
        return {"title": colouring.title, "entries": entries, "codes": colouring.codes.tolist()}
    digits = 17 if colouring.is_time else 6
    values = [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in colouring.numbers.tolist()]
    return {
        "title": colouring.title,
        "values": values,
        "low": colouring.low,
        "high": colouring.high,
        "stops": VIRIDIS,
        "ticks": [text for _, text in colouring.ticks()],
        "isTime": colouring.is_time,
    }
