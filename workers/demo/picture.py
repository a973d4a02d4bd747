"""The demo's picture: every point a window, coloured by what its wearer was doing.

In: embeddings and their labels. Out: one PNG. Knows not where either comes from.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.view.colours import Colouring
from workers.view.draw import Picture
from workers.view.draw import draw as draw_picture
from workers.view.project import project

MOST_POINTS = 1200
"""Enough to see."""
SEED = 0


def draw(embeddings: NDArray[np.float32], labels: Sequence[str], path: Path, *, title: str, subtitle: str) -> Path:
    """Project some of them by PCA and by t-SNE, side by side, and write the picture."""
    rows = np.sort(np.random.default_rng(SEED).permutation(len(embeddings))[:MOST_POINTS])
    names = tuple(sorted(set(labels)))
    group = np.array([names.index(labels[row]) for row in rows.tolist()])
    picture = Picture(
        title=title,
        subtitle=subtitle,
        projection=project(embeddings[rows]),
        colouring=Colouring(title="exercise", names=names, group=group),
    )
    return draw_picture(picture, path)
