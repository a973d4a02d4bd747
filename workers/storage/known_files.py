"""Files whose SHA-256 is known beforehand, such as an artifact's weights: fetched from a store once a machine.

In: a path, a digest. Out: the file's bytes, unchecked: whoever knows the digest checks. Knows nothing of the content.

They are kept in the user's cache under their digests, so what was changed there is noticed and fetched anew, and
processes that fetch one at once write the same. What was not asked for during a month is deleted.
"""

import contextlib
import hashlib
import os
import time
from pathlib import Path

from undertow.core.private_files import cache_folder
from undertow.core.publication import replace_file
from undertow.storage.store_path import AnyPath

FOLDER = "known"
UNUSED_S = 30 * 86_400.0
"""A choice: an artifact is asked for at each start of a replica."""


def read_known(file: AnyPath, sha256: str) -> bytes:
    """Return a file's bytes, from the cache where it has some of this digest. Raises `OSError`.

    Where there is no cache, because no folder can be written, each call fetches.
    """
    if isinstance(file, Path):
        return file.read_bytes()
    with contextlib.suppress(OSError):
        kept = cache_folder() / FOLDER / sha256
        content = kept.read_bytes()
        if hashlib.sha256(content).hexdigest() == sha256:
            os.utime(kept)
            return content
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() == sha256:
        with contextlib.suppress(OSError):
            _keep(content, sha256)
    return content


def _keep(content: bytes, sha256: str) -> None:
    folder = cache_folder() / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - UNUSED_S:
            path.unlink(missing_ok=True)
    replace_file(folder / sha256, content)
