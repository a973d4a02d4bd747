"""An exact PCA of vectors that come in batches, independent of the order of the batches.

In: (n, d) arrays, or moments of others. Out: mean, components and how much each explains. Knows no file.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

AS_LARGE = 1e-6
"""Loadings that differ by less, relative to the largest, count as equal: rounding would decide which is larger."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Count, mean and scatter matrix of some vectors: all that their PCA needs."""

    count: int
    mean: Matrix
    """(d,)"""
    scatter: Matrix
    """(d, d), the sum over the vectors of (v - mean)(v - mean)^T."""

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Moments":
        """Return the moments of (n, d) vectors, at least one."""
        values = vectors.astype(np.float64)
        mean: Matrix = values.mean(axis=0)
        apart = values - mean  # subtracted before squaring, for precision if the mean is large
        mean += apart.mean(axis=0)
        apart = values - mean
        return cls(count=len(values), mean=mean, scatter=apart.T @ apart)

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both together (Chan, Golub and LeVeque's pairwise update)."""
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
    """(r, d) orthonormal rows, by explained variance, largest first; r is the rank of the vectors' variation."""
    explained: Matrix
    """(r,) the share of the variance that each explains."""


def find_components(moments: Moments) -> Components:
    """Return all components that the vectors determine; none if they do not vary.

    The sign of a component is arbitrary: the first of its largest loadings is made positive.
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
