"""An object as a file, for readers of Parquet, which ask for its end and for some of its columns.

In: a path in a store. Out: `seek` and `read`, each as a request for a range. Knows nothing of the content.
"""

from typing import Self

from undertow.storage.store_client import as_os_errors
from undertow.storage.store_path import StorePath

READ_AHEAD = 1 << 20
"""The least that is asked for at once: a request takes as long as the transfer of some hundred kilobytes. A choice."""


class ObjectReader:
    """A file for readers of Parquet: `seek` and `read`, each as a request for a range; its errors are a disk's."""

    mode, closed = "rb", False

    def __init__(self, path: StorePath, size: int | None = None) -> None:
        """Ask for the size, unless it is known, as from a listing. Raises `OSError`."""
        self._path, self._place = path, 0
        self._size = path.stat().st_size if size is None else size
        self._ahead, self._begin = b"", 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._ahead, self.closed = b"", True

    def tell(self) -> int:
        """Return the place from which it is read next."""
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        """Read on from another place; return it."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, or what is left. Raises `OSError`."""
        wanted = self._size - self._place if size < 0 else min(size, self._size - self._place)
        if wanted <= 0:
            return b""
        first = self._place - self._begin
        if not 0 <= first <= len(self._ahead) - wanted:
            begin = 0 if self._size <= READ_AHEAD else self._place
            fetched = min(max(wanted, READ_AHEAD), self._size - begin)
            with as_os_errors(str(self._path)):
                found = self._path.client.get_range(self._path.key, start=begin, length=fetched)
            self._ahead, self._begin, first = bytes(found), begin, self._place - begin
        self._place += wanted
        return self._ahead[first : first + wanted]
