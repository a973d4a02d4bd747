"""The picture of a space as PNG or SVG: both projections side by side, one legend or colour bar.

In: a `Picture`. Out: a file. Knows not where the points come from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.core.errors import Refused
from workers.view.colours import PALETTE, Colouring
from workers.view.project import INSTALL, SEED, Projection

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "*")
INK, PALE = "#222222", "#DDDDDD"
SCALE = "viridis"
MANY, FEW_SIZE, MANY_SIZE = 1_500, 15, 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """All that is shown."""

    title: str
    subtitle: str
    projection: Projection
    colouring: Colouring

    @property
    def pca_axes(self) -> tuple[str, str]:
        """What the PCA's axes say."""
        first, second = self.projection.shares
        return f"first component, {first:.0%} of the variance", f"second component, {second:.0%}"


PCA_TITLE = "PCA: the two widest directions"
TSNE_TITLE = "t-SNE: who is whose neighbour"
TSNE_NOTE = "for looking only: distances between clusters have no meaning"


def draw(picture: Picture, path: Path) -> Path:
    """Write the picture; the suffix says whether as PNG or SVG. Raises `Refused` where matplotlib is missing."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - a picture's alone
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        message = f"a picture needs matplotlib ({error}): {INSTALL}"
        raise Refused(message) from error
    projection, colouring = picture.projection, picture.colouring
    with mpl.rc_context({"font.size": 11, "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK}):
        figure = Figure(figsize=(13, 7), dpi=130, facecolor="white")
        left, right = figure.subplots(1, 2)
        mappable = _scatter(left, projection.pca, np.arange(len(projection.pca)), colouring)
        _scatter(right, projection.tsne, projection.shown, colouring)
        left.set_title(PCA_TITLE, loc="left")
        left.set_xlabel(picture.pca_axes[0])
        left.set_ylabel(picture.pca_axes[1])
        right.set_title(TSNE_TITLE, loc="left")
        right.set_xlabel(TSNE_NOTE)
        figure.suptitle(picture.title, x=0.02, y=0.98, ha="left", fontsize=17, fontweight="bold")
        figure.text(0.02, 0.915, picture.subtitle, ha="left", va="top", fontsize=11.5)
        bottom = 0.13
        if colouring.group is None:
            bar = figure.colorbar(mappable, cax=figure.add_axes((0.3, 0.06, 0.4, 0.02)), orientation="horizontal")
            bar.set_ticks([mappable.norm.vmin, mappable.norm.vmax], labels=colouring.ends)
            bar.ax.set_title(colouring.title, fontsize=11)
            bar.outline.set_visible(False)
            bottom = 0.19
        else:
            handles, shown = left.get_legend_handles_labels()
            columns = min(len(shown), 7)
            rows = -(-len(shown) // columns)
            figure.legend(
                handles, shown, loc="lower center", ncols=columns, frameon=False, markerscale=1.8, title=colouring.title
            )
            bottom = 0.12 + 0.035 * rows
        figure.subplots_adjust(left=0.05, right=0.985, top=0.82, bottom=bottom, wspace=0.1)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return path


def _scatter(axes: Any, points: NDArray[np.floating], rows: NDArray[np.int64], colouring: Colouring) -> Any:
    size = FEW_SIZE if len(points) <= MANY else MANY_SIZE
    order = np.random.default_rng(SEED).permutation(len(points))  # no class lies below another
    mappable = None
    if colouring.group is None and colouring.values is not None:
        values = colouring.values
        mappable = axes.scatter(
            *points[order].T, c=values[rows[order]], s=size, cmap=SCALE, alpha=0.8, linewidths=0,
            vmin=np.nanmin(values), vmax=np.nanmax(values),
        )  # fmt: skip
    elif colouring.group is not None:
        groups = colouring.group[rows]
        for place, name in enumerate(colouring.names):
            chosen = points[groups == place]
            axes.scatter(
                *chosen.T, s=size, c=PALETTE[place % len(PALETTE)], marker=MARKERS[place % len(MARKERS)], alpha=0.75,
                linewidths=0, label=name,
            )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(PALE)
    return mappable
