"""The setting `model.artifact`: one folder or several.

In: what flags, the environment or TOML gave. Out: paths. Knows nothing of what lies there.
"""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from undertow.core.errors import Refused
from undertow.settings.local_paths import require_local

Paths = Path | tuple[Path, ...]
"""A tuple only where there are several."""


def parse_paths(given: object) -> Paths:
    """Accept one path, or a list: from TOML, or as JSON from the environment; a list of one is that path."""
    if isinstance(given, str) and given.startswith("["):
        with contextlib.suppress(ValueError):
            given = json.loads(given)
    several: Sequence[Any] = given if isinstance(given, list | tuple) else [given]
    if not several or not all(isinstance(one, str | Path) for one in several):
        message = f'expected the folder of an artifact, or several as ["a", "b"], found {given!r}'
        raise ValueError(message)
    paths = tuple(Path(str(require_local(one))) for one in several)
    return paths[0] if len(paths) == 1 else paths


def only(paths: tuple[Path, ...]) -> Path:
    """Return the one artifact of a command that takes no more. Raises `Refused` where there are several."""
    if len(paths) > 1:
        message = (
            f"this command takes one artifact, and model.artifact names {', '.join(map(str, paths))}; "
            f"choose one of them: --set model.artifact={paths[0]}"
        )
        raise Refused(message)
    return paths[0]
