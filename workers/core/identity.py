"""Compare two views of one name: whether they have the same vector space and the same series ids.

In: views, and where one of them was found. Out: nothing, or `Refused`. Knows no store.
"""

from undertow.core.errors import Refused
from undertow.schemas.spaces import SpaceView


def refuse_another(view: SpaceView, there: SpaceView, *, where: str) -> None:
    """Raise `Refused` if the view `there`, found under the same name, has other ids or belongs to another space.

    The order of the id columns does not matter.
    """
    if view.space != there.space:
        known, found = f"of the space {there.space}", f"is of {view.space}"
    elif _ids(view) != _ids(there):
        known, found = f"with the ids {', '.join(_ids(there))}", f"has {', '.join(_ids(view))}"
    else:
        return
    message = (
        f"{where} knows {there.view} {known}, and this artifact {found}: one name cannot stand for both. "
        "Pack this one under a name of its own: undertow pack --name ..."
    )
    raise Refused(message)


def _ids(view: SpaceView) -> list[str]:
    return sorted(f"{column.name}:{column.type}" for column in view.series)
