"""Two projections of the same vectors: PCA, which measures, and t-SNE, which only shows neighbours.

In: vectors. Out: points in the plane, the same for the same vectors. Knows neither labels nor files. Importing it needs
scikit-learn.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from undertow.core.errors import Refused
from undertow.view.picture import Projection

FEWEST = 5
KEPT = 50
"""Components that t-SNE sees: the rest is mostly noise and costs time."""
PERPLEXITY, STEPS, SEED = 30.0, 500, 0


def project(vectors: NDArray[np.floating], *, most_neighbours: int) -> Projection:
    """Project n vectors; t-SNE only the first `most_neighbours`. Raises `Refused` for too few or all the same."""
    if len(vectors) < FEWEST:
        message = f"expected at least {FEWEST} rows to project, found {len(vectors)}"
        raise Refused(message)
    exact = np.asarray(vectors, np.float64)
    if (exact == exact[0]).all():
        message = f"all {len(vectors)} vectors are the same, so there is nothing to project: is the tap silent?"
        raise Refused(message)
    # Which way an axis points is no accident: scikit-learn makes each component's largest weight positive, since 1.5.
    pca = PCA(n_components=min(KEPT, *exact.shape), random_state=SEED)
    points = pca.fit_transform(exact)
    shares = np.append(pca.explained_variance_ratio_, 0.0)
    if points.shape[1] == 1:
        points = np.pad(points, ((0, 0), (0, 1)))
    return Projection(
        pca=points[:, :2], shares=(float(shares[0]), float(shares[1])), tsne=_neighbours(points[:most_neighbours])
    )


def _neighbours(points: NDArray[np.float64]) -> NDArray[np.float64]:
    begin = points[:, :2] / (points[:, 0].std() or 1.0) * 1e-4  # as init="pca" would, which refuses one dimension
    tsne = TSNE(
        init=begin.astype(np.float32),
        perplexity=min(PERPLEXITY, (len(points) - 1) / 3),
        max_iter=STEPS,
        random_state=SEED,
    )
    with threadpool_limits(limits=1):  # its threads wait for one another far longer than they work
        found: NDArray[np.float64] = tsne.fit_transform(points).astype(np.float64)
    return found
