"""Reduce a pooled vector: project by a PCA that was fitted when packed, then normalize to length 1.

In: pooled vectors, a feature, its fitted numbers. Out: (n, d) float32. Knows neither how they were fitted nor a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from undertow.core.errors import Refused
from undertow.core.features import Feature, TappedFeature


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduction:
    """A fitted PCA."""

    mean: Tensor
    """(d,) float32 of the pooled vectors."""
    components: Tensor
    """(k, d) float32, orthonormal rows, the one that explains most first."""

    def to(self, device: torch.device) -> "Reduction":
        """Return it on another device."""
        return Reduction(mean=self.mean.to(device), components=self.components.to(device))


def project(vectors: Tensor, reduction: Reduction) -> Tensor:
    """Return (n, k) of (n, d)."""
    return (vectors - reduction.mean) @ reduction.components.T


def reduce(vectors: Tensor, feature: Feature, reduction: Reduction | None) -> Tensor:
    """Project (n, d) on the components, then normalise, as far as the feature asks for it.

    A vector without length has no direction: it stays 0.
    """
    if reduction is not None:
        vectors = project(vectors, reduction)
    if feature.l2:
        largest = vectors.abs().amax(dim=1, keepdim=True)
        vectors = vectors / largest.masked_fill(largest == 0, 1.0)  # so that no square is 0 or beyond float32
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        vectors = vectors / length.masked_fill(length == 0, 1.0)
    return vectors


def check_reductions(features: Sequence[TappedFeature], reductions: Mapping[str, Reduction]) -> None:
    """Raise `Refused` where a feature's fitted numbers are missing, or not of its size."""
    for one in features:
        expected = None if one.feature.pca is None else (one.feature.pca, one.layout.size)
        reduction = reductions.get(one.name)
        found = None if reduction is None else tuple(reduction.components.shape)
        if found != expected:
            message = (
                f"expected of the feature {one.name} ({one.feature}) fitted components of the shape {expected}, found "
                f"{found}; pack the artifact again"
            )
            raise Refused(message)
