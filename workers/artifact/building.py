"""From a recipe to a model: the one place that knows that there are two kinds.

In: a `Recipe`. Out: a model without weights, in eval mode. Knows neither kind's rules.
"""

from collections.abc import Collection

from torch import nn

from workers.artifact.foreign import build_module
from workers.artifact.recipes import ModuleRecipe, Recipe


def build_model(recipe: Recipe, code: Collection[str] = ()) -> nn.Module:
    """Build the model, untrained. Raises `Refused`. `code` are the packages whose code may run."""
    if isinstance(recipe, ModuleRecipe):
        return build_module(recipe, code)
    # pytorch-forecasting and Lightning cost seconds of CPU, which a replica of a plain module need not wait for.
    from workers.artifact.models import build_forecaster  # noqa: PLC0415

    return build_forecaster(recipe, code)
