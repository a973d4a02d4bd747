"""A row of 8-byte numbers for each series, in memory or in a file; more rows need no copy of those that are there.

In: how wide a row is, a folder or none. Out: numbers by their place. Knows no series.

Rows of a file that nobody has read or written for long need no memory: the kernel writes them to the disk where it
lacks some, and reads them again. The file has no name, so nothing is left of a process that is killed.
"""

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np

from undertow.core.errors import Refused
from undertow.observations.category_places import Numbers
from undertow.schemas.arrow_columns import Rows

MOVED_AT_ONCE = 1 << 16
"""Rows that are copied at once where places are given anew: they are in memory twice. A choice."""
READ_AT_ONCE = 1 << 13
"""Rows that are read by one call of the system. A choice: of 24 steps and three columns they are 6 MB."""
_FEWEST_READ, _SPARSEST_READ = 1 << 10, 1 / 16
"""Fewer rows, and those of which there are fewer among others, are touched where they lie. Choices: a page has some
rows, and the kernel reads pages one by one where they are touched."""
_BYTES = 8


class HeldRows:
    """Rows by place, 0 at first."""

    def __init__(self, width: int, folder: Path | None = None) -> None:
        """Hold no row yet, and touch no file. Rows lie in a file below `folder`, or, without one, in memory."""
        self._width, self._folder = width, folder
        self._file: int | None = None
        self._numbers = np.zeros(0)

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def __len__(self) -> int:
        return len(self._numbers) // self._width

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self._width * _BYTES

    @property
    def numbers(self) -> Numbers:
        """(rows * width,) all rows, one after another. Whoever keeps it has those of before the next `resize`."""
        return self._numbers

    @property
    def integers(self) -> Rows:
        """(rows * width,) the same bits as int64."""
        return self._numbers.view(np.int64)

    def resize(self, rows: int) -> None:
        """Have so many rows; the ones that stay are not copied. Raises `Refused` where the folder has no place."""
        size = max(1, rows * self.row_bytes)
        try:
            if self._file is None:
                self._file = _open(self._folder)
            if self._folder is None or rows < len(self):
                os.ftruncate(self._file, size)
            else:  # where a disk has no place, now is the time to hear of it: later the kernel kills
                os.posix_fallocate(self._file, 0, size)
            mapped = mmap.mmap(self._file, size)
        except OSError as error:
            message = (
                f"expected {size:,} bytes for what is held of observations in {self._folder or 'memory'} "
                f"(windows.held_path), found: {error.strerror}; name a folder of a larger disk, or run more replicas"
            )
            raise Refused(message) from error
        if self._folder is not None:
            mapped.madvise(mmap.MADV_RANDOM)  # what lies beside a row is another series'
        self._numbers = np.frombuffer(mapped, np.float64, rows * self._width)

    def copy(self, places: Rows) -> Numbers:
        """Return (n * width,) a copy of rows, one after another."""
        copied = np.empty((len(places), self._width))
        for first in range(0, len(places), READ_AT_ONCE):
            some = places[first : first + READ_AT_ONCE]
            copied[first : first + len(some)] = self._read(some)
        return copied.reshape(-1)

    def keep(self, places: Rows) -> None:
        """Let go of all rows but these, ascending, which have the places from 0 on then."""
        for first in range(0, len(places), MOVED_AT_ONCE):
            some = places[first : first + MOVED_AT_ONCE]
            if int(some[-1]) >= first + len(some):  # or they are where they belong
                self._write(first, self.copy(some))

    def _write(self, first: int, copied: Numbers) -> None:
        if self._file is None or self._folder is None:
            self._numbers[first * self._width : first * self._width + len(copied)] = copied
            return
        unwritten, at = copied.data.cast("B"), first * self.row_bytes
        while unwritten:  # pages that are touched are read first, one by one; these need not be
            count = os.pwrite(self._file, unwritten, at)
            unwritten, at = unwritten[count:], at + count

    def _read(self, places: Rows) -> Numbers:
        rows = self._numbers.reshape(-1, self._width)
        if self._file is None or self._folder is None or len(places) < _FEWEST_READ:
            return rows[places]
        begin, end = int(places.min()), int(places.max()) + 1
        if len(places) < _SPARSEST_READ * (end - begin):
            return rows[places]
        piece = np.empty((end - begin, self._width))
        unread, at = piece.data.cast("B"), begin * self.row_bytes
        while count := os.preadv(self._file, [unread], at):
            unread, at = unread[count:], at + count
        return piece[places - begin]


def _open(folder: Path | None) -> int:
    if folder is None:
        return os.memfd_create("undertow-held")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())
