"""The principal components of vectors that come batch by batch: the exact ones, in whatever order the batches come.

In: (n, d) arrays, or what others have gathered. Out: mean, components and how much each explains. Knows no file.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

AS_LARGE = 1e-6
"""Loadings that differ by less of the largest one count as equally large: which is larger would be chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """What is known of some vectors: enough for their PCA, whatever their number."""

    count: int
    mean: Matrix
    """(d,)"""
    scatter: Matrix
    """(d, d) sum over the vectors of the outer product of their distance to the mean with itself."""

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Moments":
        """Return those of (n, d) vectors, at least one."""
        values = vectors.astype(np.float64)
        mean: Matrix = values.mean(axis=0)
        apart = values - mean  # before it is squared: a large mean would leave no digits of a small spread
        mean += apart.mean(axis=0)
        apart = values - mean
        return cls(count=len(values), mean=mean, scatter=apart.T @ apart)

    def merge(self, other: "Moments") -> "Moments":
        """Return those of the vectors of both (the update of Chan, Golub and LeVeque)."""
        count, between = self.count + other.count, other.mean - self.mean
        weight = self.count * other.count / count
        return Moments(
            count=count,
            mean=self.mean + between * (other.count / count),
            scatter=self.scatter + other.scatter + np.outer(between, between) * weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """A PCA."""

    directions: Matrix
    """(r, d) orthonormal rows, the one that explains most first; as many as the vectors vary in."""
    explained: Matrix
    """(r,) share of the vectors' variance."""


def find_components(moments: Moments) -> Components:
    """Return all components that the vectors determine: none where they do not vary.

    A component and its negative explain the same: the first of its largest loadings is made positive.
    """
    found, columns = np.linalg.eigh(moments.scatter)
    variances, rows = found[::-1], columns.T[::-1]
    least = max(float(variances[0]), 0.0) * len(variances) * np.finfo(np.float64).eps
    rank = int((variances > least).sum())
    directions = rows[:rank]
    sizes = np.abs(directions)
    first = (sizes >= sizes.max(axis=1, keepdims=True) * (1 - AS_LARGE)).argmax(axis=1) if rank else np.zeros(0, int)
    signs = np.sign(directions[np.arange(rank), first])
    total = variances[:rank].sum() or 1.0
    return Components(directions=directions * signs[:, None], explained=variances[:rank] / total)
