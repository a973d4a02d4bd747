"""Which packages' code an artifact may import: those that the user has listed (`model.code`, `--code`), and no other.

In: a recipe, or the path of a class; the list. Out: nothing, or `Refused`. Imports nothing by name.
"""

from collections.abc import Collection

from undertow.artifact.format.recipes import Recipe
from undertow.core.errors import Refused


def require_allowed_code(recipe: Recipe, code: Collection[str]) -> None:
    """Raise `Refused` if building the model would import a package that is not in `code`. Imports nothing itself."""
    if recipe.source is not None:
        require_allowed(recipe.cls, code)


def require_allowed(cls: str, code: Collection[str]) -> None:
    """Raise `Refused` if the package of the class `package.module:Name` is not in `code`."""
    if isinstance(code, str):  # `in` would look for a substring
        message = f"code: expected a list of packages, found a text: [{code!r}]"
        raise Refused(message)
    package = package_of(cls)
    if package not in code:
        message = (
            f"the model is {cls}, and importing {package} runs its code, which can do anything that you can. "
            f"Code is imported only from packages that model.code lists, found {', '.join(code) or 'none'}. If you "
            f"trust {package}: --set 'model.code=[\"{package}\"]', or UNDERTOW_MODEL__CODE='[\"{package}\"]', or "
            f"--code {package} when packing"
        )
        raise Refused(message)


def package_of(cls: str) -> str:
    """Return the top-level package of a class's path."""
    return cls.partition(":")[0].partition(".")[0]
