"""Two projections to the plane: PCA, whose axes mean something, and t-SNE, which shows neighbours only.

In: vectors. Out: `Projection`, the same each time. Knows no colour.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.core.errors import Refused

SEED = 0
MOST_NEIGHBOURS = 3_000
"""Points of the t-SNE: it takes seconds for so many, and minutes for more."""
REDUCED = 50
INSTALL = "pip install 'undertow[view]'"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """Points in the plane."""

    pca: NDArray[np.float64]
    """(n, 2)"""
    shares: tuple[float, float]
    """Of the variance, by component."""
    tsne: NDArray[np.float64]
    """(m, 2) of the points `shown`."""
    shown: NDArray[np.int64]
    """(m,) the points that the t-SNE has."""


def project(vectors: NDArray[np.float32]) -> Projection:
    """Project n vectors. Raises `Refused` where they are all the same, or scikit-learn is missing."""
    try:
        from sklearn.decomposition import PCA  # noqa: PLC0415 - a picture's alone
        from sklearn.manifold import TSNE  # noqa: PLC0415
    except ImportError as error:
        message = f"a picture needs scikit-learn ({error}): {INSTALL}"
        raise Refused(message) from error
    numbers = vectors.astype(np.float64)
    if not numbers.std(axis=0).any():
        message = f"all {len(numbers)} embeddings are the same vector, so there is nothing to see"
        raise Refused(message)
    pca = PCA(n_components=min(REDUCED, *numbers.shape), random_state=SEED).fit(numbers)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.sign(pca.components_[np.arange(len(largest)), largest])  # else each library shows its own mirror image
    reduced = pca.transform(numbers) * signs
    plane = np.zeros((len(reduced), 2))
    plane[:, : min(2, reduced.shape[1])] = reduced[:, :2]
    ratios = [*pca.explained_variance_ratio_.tolist(), 0.0]
    shown = np.sort(np.random.default_rng(SEED).permutation(len(reduced))[:MOST_NEIGHBOURS])
    perplexity = min(30.0, (len(shown) - 1) / 3)
    tsne = TSNE(
        init="pca" if reduced.shape[1] > 1 else "random", perplexity=perplexity, max_iter=500, random_state=SEED
    )
    return Projection(
        pca=plane,
        shares=(ratios[0], ratios[1]),
        tsne=tsne.fit_transform(reduced[shown]).astype(np.float64),
        shown=shown,
    )
