"""Build the model of a recipe, whichever of the two kinds of recipes it is.

In: a `Recipe`. Out: a model without weights, in eval mode. Knows neither kind's rules.
"""

from collections.abc import Collection

from torch import nn

from undertow.artifact.format.recipes import ModuleRecipe, Recipe
from undertow.artifact.load.user_code import build_module
from undertow.core.extras import require_extras


def build_model(recipe: Recipe, code: Collection[str] = ()) -> nn.Module:
    """Build the model, untrained. Raises `Refused`. `code` are the packages whose code may run."""
    if isinstance(recipe, ModuleRecipe):
        return build_module(recipe, code)
    require_extras("a model of pytorch-forecasting", "train")
    # Importing pytorch-forecasting and Lightning takes seconds, for which a replica of a plain module need not wait.
    from undertow.artifact.load.models import build_forecaster  # noqa: PLC0415

    return build_forecaster(recipe, code)
