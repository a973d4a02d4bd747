"""Create an object only if it is not there, so that exactly one of several writers does.

In: a path in a store, its content, which no other writer has. Out: whether it is ours. Knows nothing of the content.

A conditional PUT (`If-None-Match: *`) decides. Its reply can be lost after the object was made, and the client then
tries again and hears that it is there: so whoever is refused reads what is there, and it is theirs if it is the same.
Hence contents must differ between writers, as parts do by the token of their writer.
"""

import contextlib
import time

from undertow.core.publication import Content
from undertow.storage.store_path import StorePath

TRIES, FIRST_PAUSE_S = 6, 0.01
"""How often it is tried to create what is said to be there and is not, with pauses that double: 0.3 s in all, in which
another writer's request ends. Choices."""


def create_object(path: StorePath, content: Content) -> bool:
    """Create `path` with `content`; return False, having changed nothing, where another one is there already.

    Raises `OSError` where neither is known: then the same call may be made again.
    """
    for turn in range(TRIES):
        try:
            path.put_new(content)
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                return path.read_bytes() == content
            # Another is about to create it (409 of S3), or our request is still on its way: whoever tries again sees.
            if turn == TRIES - 1 or not isinstance(error, FileExistsError):
                raise
            time.sleep(FIRST_PAUSE_S * 2**turn)
        else:
            return True
    raise AssertionError  # the last try returns or raises
