"""Write pictures of given vectors and colours to files; for programs that have the rows already.

In: vectors, colours, words. Out: files. Knows no source of rows, and loads scikit-learn and matplotlib at their first
use only.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.core.errors import Refused, WrongUsage
from undertow.core.extras import require_extras
from undertow.core.private_files import make_folder
from undertow.view import page
from undertow.view.colour import Colouring
from undertow.view.picture import MOST_NEIGHBOURS, Picture


def refuse_early(outputs: Iterable[Path]) -> None:
    """Raise `Refused` for a name that tells no kind of file, and where the extra `view` is not installed."""
    require_extras("a picture", "view")
    for path in outputs:
        if path.suffix.lower() not in WRITERS:
            message = f"expected an output that ends with {', '.join(WRITERS)}, found {path}"
            raise WrongUsage(message)


def make_picture(
    vectors: NDArray[np.floating],
    colouring: Colouring,
    *,
    title: str,
    note: str,
    ids: Mapping[str, NDArray[Any]] | None = None,
    event_us: NDArray[np.int64] | None = None,
    most_neighbours: int = MOST_NEIGHBOURS,
) -> Picture:
    """Project the vectors, by t-SNE the first `most_neighbours`.

    Raises `Refused` for too few vectors and for equal ones.
    """
    from undertow.view.project import project  # noqa: PLC0415 - needs the extra, and a second to load

    return Picture(
        title=title,
        note=note,
        projection=project(vectors, most_neighbours=most_neighbours),
        colouring=colouring,
        ids=ids or {},
        event_us=event_us,
    )


def write(picture: Picture, path: Path) -> Path:
    """Write one file, of the kind that its name tells."""
    content = WRITERS[path.suffix.lower()](picture)
    try:
        make_folder(path.parent)
        path.write_bytes(content)
    except OSError as error:
        message = f"{path} could not be written: {error}"
        raise Refused(message) from error
    return path


def _image(form: str) -> Callable[[Picture], bytes]:
    def draw(picture: Picture) -> bytes:
        from undertow.view.draw import render  # noqa: PLC0415 - likewise

        return render(picture, form=form)

    return draw


WRITERS = {".html": page.render, ".png": _image("png"), ".svg": _image("svg")}
