"""The picture of a space as one HTML file that needs no network: points can be hovered, groups switched off.

In: a `Picture` and what to say of each point. Out: a file. The page itself is `page.html`; its data are put into it.
"""

import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.view.colours import PALETTE
from workers.view.draw import PCA_TITLE, TSNE_NOTE, TSNE_TITLE, Picture

DATA, TITLE = "/*DATA*/null", "<!--TITLE-->"
SPAN = 1_000
"""Coordinates are whole numbers from 0 to this: more than a screen can show, and half the file."""


def write_page(picture: Picture, names: Sequence[str], times: Sequence[str], path: Path) -> Path:
    """Write the page. `names` and `times` are what is said of each point besides its group or value."""
    projection, colouring = picture.projection, picture.colouring
    tsne: list[Any] = [None] * len(projection.pca)
    for row, point in zip(projection.shown.tolist(), _whole(projection.tsne), strict=True):
        tsne[row] = point
    data = {
        "title": picture.title,
        "subtitle": picture.subtitle,
        "panels": [
            {"title": PCA_TITLE, "x": picture.pca_axes[0], "y": picture.pca_axes[1], "points": _whole(projection.pca)},
            {"title": TSNE_TITLE, "x": TSNE_NOTE, "y": "", "points": tsne},
        ],
        "names": list(names),
        "times": list(times),
        "colour": {
            "title": colouring.title,
            "groups": list(colouring.names),
            "group": None if colouring.group is None else colouring.group.tolist(),
            "values": None if colouring.values is None else [round(float(v), 6) for v in colouring.values],
            "ends": list(colouring.ends),
            "palette": list(PALETTE),
        },
    }
    page = files("workers.view").joinpath("page.html").read_text()
    page = page.replace(TITLE, html.escape(picture.title)).replace(DATA, _script(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
    return path


def _whole(points: NDArray[np.float64]) -> list[list[int]]:
    """Put points into a square of `SPAN`, with the upper end of the second axis at the top."""
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    scaled[:, 1] = 1.0 - scaled[:, 1]
    placed: list[list[int]] = (scaled * SPAN).round().astype(int).tolist()
    return placed


def _script(data: Any) -> str:
    """Write JSON that cannot end the script it stands in, whatever a series is called."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
