"""Parse the setting `model.artifact`: one folder or several, here or in an object store.

In: a value from a flag, the environment or TOML. Out: paths. Knows nothing of the folders' content.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from undertow.core.errors import Refused
from undertow.settings.local_paths import parse_place
from undertow.storage.store_path import AnyPath, StorePath

Paths = AnyPath | tuple[AnyPath, ...]
"""One path, or a tuple of several."""


def parse_paths(given: object) -> Paths:
    """Parse one path, or a list of paths (TOML or JSON); a list of one becomes that path. Raises `ValueError`."""
    if isinstance(given, str) and given.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            given = json.loads(given)
    several: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    if not several or not all(isinstance(one, str | Path | StorePath) for one in several):
        message = f'expected the folder of an artifact, or several as ["a", "b"], found {given!r:.60}'
        raise ValueError(message)
    paths = tuple(parse_place(one if isinstance(one, StorePath) else str(one)) for one in several)
    return paths[0] if len(paths) == 1 else paths


def only(paths: tuple[AnyPath, ...]) -> AnyPath:
    """Return the single artifact, for commands that take only one. Raises `Refused` if there are several."""
    if len(paths) > 1:
        message = (
            f"this command takes one artifact, and model.artifact names {', '.join(map(str, paths))}; "
            f"choose one of them: --set model.artifact={paths[0]}"
        )
        raise Refused(message)
    return paths[0]


def shown_paths(paths: Paths) -> object:
    """Return what stands in a text for them."""
    return [str(path) for path in paths] if isinstance(paths, tuple) else str(paths)
