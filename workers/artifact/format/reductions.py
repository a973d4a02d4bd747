"""Store fitted reductions (PCA) in the same file as the weights, so that one hash covers both.

In: reductions by feature, or the tensors of the file. Out: the other. Knows neither the file nor how they were fitted.
"""

from collections.abc import Mapping

from torch import Tensor

from undertow.core.reduction import Reduction

PREFIX = "reduction/"
"""Names of weights contain no slash (torch joins them by dots), so this prefix is unambiguous."""


def to_tensors(reductions: Mapping[str, Reduction]) -> dict[str, Tensor]:
    """Name the tensors of each feature's reduction."""
    return {
        f"{PREFIX}{name}/{part}": tensor
        for name, one in reductions.items()
        for part, tensor in (("mean", one.mean), ("components", one.components))
    }


def split(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Reduction]]:
    """Return the model's weights and the reductions."""
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}
    names = {name.split("/")[1] for name in tensors.keys() - weights.keys()}
    reductions = {
        name: Reduction(mean=tensors[f"{PREFIX}{name}/mean"], components=tensors[f"{PREFIX}{name}/components"])
        for name in sorted(names)
    }
    return weights, reductions
