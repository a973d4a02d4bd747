"""The picture of the space: every point a window, coloured by what its wearer was doing.

In: embeddings and their labels. Out: one PNG. Knows not where either comes from, nor how it is drawn.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undertow.view.colour import categories
from undertow.view.write import make_picture, write

MOST_NEIGHBOURS = 1200
"""Enough to see, and t-SNE takes seconds."""
SEED = 0


def draw(embeddings: NDArray[np.floating], labels: Sequence[str], path: Path, *, title: str, subtitle: str) -> Path:
    """Project by PCA and by t-SNE, side by side, and write the picture."""
    rows = np.random.default_rng(SEED).permutation(len(embeddings))  # so that the first ones are an even sample
    names = categories(np.asarray(labels, dtype=object)[rows], title="exercise")
    return write(
        make_picture(embeddings[rows], names, title=title, note=subtitle, most_neighbours=MOST_NEIGHBOURS), path
    )
