"""Reduce a pooled vector: project it by a PCA fitted at packing, then normalise it to length 1.

In: pooled vectors, a feature, its fitted PCA. Out: (n, d) float32. Knows neither how the PCA was fitted nor a file.
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
    """(d,) float32, the mean of the pooled vectors."""
    components: Tensor
    """(k, d) float32, orthonormal rows, by explained variance, largest first."""

    def to(self, device: torch.device) -> "Reduction":
        """Return a copy on the device."""
        return Reduction(mean=self.mean.to(device), components=self.components.to(device))


def project(vectors: Tensor, reduction: Reduction) -> Tensor:
    """Project (n, d) to (n, k)."""
    return (vectors - reduction.mean) @ reduction.components.T


def reduce(vectors: Tensor, feature: Feature, reduction: Reduction | None) -> Tensor:
    """Project (n, d) on the components, then normalise to length 1, each only if the feature asks for it.

    A vector of zeros has no direction and stays 0.
    """
    if reduction is not None:
        vectors = project(vectors, reduction)
    if feature.l2:
        largest = vectors.abs().amax(dim=1, keepdim=True)
        vectors = vectors / largest.masked_fill(largest == 0, 1.0)  # so that squares neither underflow nor overflow
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        vectors = vectors / length.masked_fill(length == 0, 1.0)
    return vectors


def check_reductions(features: Sequence[TappedFeature], reductions: Mapping[str, Reduction]) -> None:
    """Raise `Refused` if a feature's PCA is missing or has the wrong shape."""
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
