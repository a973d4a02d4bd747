"""The picture of the space: every point a window, coloured by what its wearer was doing.

In: embeddings and their labels. Out: one PNG. Knows not where either comes from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.core.errors import Refused

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#3B3B3B")  # Okabe and Ito's: safe for all
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, PALE = "#222222", "#DDDDDD"
MOST_POINTS = 1200
"""Enough to see, and t-SNE takes seconds."""
SEED = 0


def draw(embeddings: NDArray[np.floating], labels: Sequence[str], path: Path, *, title: str, subtitle: str) -> Path:
    """Project by PCA and by t-SNE, side by side, and write the picture."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - the demo's alone
        from matplotlib.figure import Figure  # noqa: PLC0415
        from sklearn.decomposition import PCA  # noqa: PLC0415
        from sklearn.manifold import TSNE  # noqa: PLC0415
    except ImportError as error:
        message = f"the demo's picture needs matplotlib and scikit-learn ({error}): pip install 'undertow[demo]'"
        raise Refused(message) from error
    rows = _some(len(embeddings))
    names = np.asarray(labels, dtype=object)[rows]
    pca = PCA(n_components=min(50, *embeddings.shape), random_state=SEED).fit(embeddings)
    points = pca.transform(embeddings[rows])
    shares = pca.explained_variance_ratio_
    neighbours = TSNE(
        init="pca", perplexity=min(30, (len(rows) - 1) / 3), max_iter=500, random_state=SEED
    ).fit_transform(points)
    with mpl.rc_context({"font.size": 11, "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK}):
        figure = Figure(figsize=(13, 7), dpi=130, facecolor="white")
        left, right = figure.subplots(1, 2)
        _scatter(left, points[:, :2], names)
        _scatter(right, neighbours, names)
        left.set_title("PCA: the two widest directions", loc="left")
        left.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
        left.set_ylabel(f"second component, {shares[1]:.0%}")
        right.set_title("t-SNE: who is whose neighbour", loc="left")
        right.set_xlabel("distances between clusters have no meaning")
        figure.suptitle(title, x=0.02, y=0.98, ha="left", fontsize=17, fontweight="bold")
        figure.text(0.02, 0.915, subtitle, ha="left", va="top", fontsize=11.5)
        handles, shown = left.get_legend_handles_labels()
        figure.legend(handles, shown, loc="lower center", ncols=len(shown), frameon=False, markerscale=2.2)
        figure.subplots_adjust(left=0.05, right=0.985, top=0.82, bottom=0.13, wspace=0.1)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return path


def _some(count: int) -> NDArray[np.int64]:
    """Choose the points to draw, in an order that hides no class below another."""
    return np.random.default_rng(SEED).permutation(count)[:MOST_POINTS]


def _scatter(axes: Any, points: NDArray[np.floating], names: NDArray[np.object_]) -> None:
    for position, name in enumerate(sorted(set(names))):
        chosen = points[names == name]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=15,
            c=COLOURS[position % len(COLOURS)],
            marker=MARKERS[position % len(MARKERS)],
            alpha=0.75,
            linewidths=0,
            label=name,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(PALE)
