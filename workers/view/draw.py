"""Draw a picture as PNG or SVG.

In: a `Picture`. Out: a file's bytes, the same for the same picture. Importing it needs matplotlib.
"""

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from undertow.view.colour import GREY, SMALL, VIRIDIS, Categories, Scale
from undertow.view.picture import PCA_TITLE, TSNE_TITLE, Picture, readable

SHAPES = {
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "wedge": "v",
    "plus": "P",
    "cross": "X",
    SMALL: ".",
}
INK, PALE = "#222222", "#DDDDDD"
STYLE = {
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.parse_math": False,  # a dollar in an id is a dollar
    "svg.fonttype": "none",  # so that text can be searched
    "svg.hashsalt": "undertow",
}
GAP, LINE = 5, 130
"""Letters between two entries of the legend, and on one line of it."""
LAYERS = 8
"""In how many rounds the points are drawn, each with a share of every category, so that none hides the others."""
WIDE = 95
"""Letters of a line that has the picture's whole width."""
SPREAD, SIZES = 14_000, (9.0, 40.0)
"""The area that all points share, and the least and the greatest area of one point."""


def render(picture: Picture, *, form: str) -> bytes:
    """Return the picture as `png` or `svg`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(13, 7.3), dpi=130, facecolor="white")
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.05, right=0.985, top=0.82, bottom=0.2, wspace=0.1)
        for axes, points in ((left, picture.projection.pca), (right, picture.projection.tsne)):
            _scatter(axes, points, picture.colouring)
        horizontal, vertical = picture.axes()
        left.set_title(PCA_TITLE, loc="left")
        left.set_xlabel(horizontal)
        left.set_ylabel(vertical)
        right.set_title(TSNE_TITLE, loc="left")
        right.set_xlabel(picture.tsne_axis())
        figure.text(0.02, 0.965, readable(picture.title, WIDE), ha="left", va="top", fontsize=17, fontweight="bold")
        figure.text(0.02, 0.905, readable(picture.note, 170), ha="left", va="top", fontsize=11.5)
        if isinstance(picture.colouring, Scale):
            _colour_bar(figure, picture.colouring)
        else:
            _legend(figure, picture.colouring)
        sink = io.BytesIO()
        figure.savefig(sink, format=form, metadata={"Date": None} if form == "svg" else None)
    return sink.getvalue()


def _scatter(axes: Any, points: NDArray[np.float64], colouring: Categories | Scale) -> None:
    style = {"s": float(np.clip(SPREAD / len(points), *SIZES)), "alpha": 0.75, "linewidths": 0}
    if isinstance(colouring, Scale):
        values = colouring.numbers[: len(points)]
        known = np.isfinite(values)
        axes.scatter(*points[~known].T, c=GREY, **style)
        axes.scatter(*points[known].T, c=values[known], cmap=_colours(), norm=_norm(colouring), **style)
    else:
        codes = colouring.codes[: len(points)]
        layer = np.arange(len(points)) % LAYERS
        # The grey ones lie below all others.
        for code, entry in enumerate(colouring.entries):
            if entry.colour == GREY:
                axes.scatter(*points[codes == code].T, c=GREY, marker=SHAPES[entry.marker], **style)
        for wanted in range(LAYERS):
            for code, entry in enumerate(colouring.entries):
                if entry.colour != GREY:
                    chosen = points[(codes == code) & (layer == wanted)]
                    axes.scatter(*chosen.T, c=entry.colour, marker=SHAPES[entry.marker], **style)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(PALE)


def _legend(figure: Any, colouring: Categories) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=SHAPES[entry.marker], color=entry.colour, markersize=8, markeredgewidth=0)
        for entry in colouring.entries
    ]
    names = [f" {readable(entry.name)}" for entry in colouring.entries]  # a legend passes names with a leading _ over
    is_short = sum(len(name) + GAP for name in names) <= LINE
    columns = len(names) if is_short else max(1, LINE // (max(map(len, names)) + 2 * GAP))
    figure.legend(
        handles,
        names,
        title=readable(colouring.title, WIDE),
        loc="lower center",
        ncols=columns,
        frameon=False,
        handletextpad=0.1,
    )


def _colour_bar(figure: Any, colouring: Scale) -> None:
    place = figure.add_axes((0.3, 0.09, 0.4, 0.022))
    bar = figure.colorbar(ScalarMappable(_norm(colouring), _colours()), cax=place, orientation="horizontal")
    at, texts = zip(*colouring.ticks(), strict=True)
    bar.set_ticks(at, labels=texts)
    bar.set_label(readable(colouring.title, WIDE))
    bar.outline.set_visible(False)


def _colours() -> Any:
    return LinearSegmentedColormap.from_list("viridis", VIRIDIS)


def _norm(colouring: Scale) -> Any:
    return Normalize(colouring.low, colouring.high, clip=True)
