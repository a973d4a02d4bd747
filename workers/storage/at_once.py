"""Do one thing to many paths: in a store to several at once, since each request takes tens of milliseconds.

On a disk one after another, unless the caller says that each waits for it, too.

In: a function, paths. Out: what it returns of each, in their order. Knows nothing of what is done.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from undertow.storage.store_path import AnyPath, StorePath

T = TypeVar("T")
REQUESTS = 16
"""A choice: a store answers that many as fast as one, and each holds an object in memory."""


def at_once(do: Callable[[AnyPath], T], paths: Sequence[AnyPath], *, on_disk: int = 1) -> list[T]:
    """Call `do` with each path; return what it returns. Raises what the first one that fails raises.

    `on_disk` is how many are done at once where no path is in a store.
    """
    count = REQUESTS if any(isinstance(path, StorePath) for path in paths) else on_disk
    if count == 1:
        return [do(path) for path in paths]
    with ThreadPoolExecutor(count) as requests:
        return [*requests.map(do, paths)]
