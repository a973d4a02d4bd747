"""Verify the whole log: read every file and check its seal.

In: the log's folder. Out: how much was read, and a sentence for each damaged file. Changes nothing.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from undertow.adapters.offline_chains import require_whole
from undertow.adapters.offline_folded import newest_mark
from undertow.adapters.offline_footers import folded_parts
from undertow.adapters.offline_history import table_files
from undertow.adapters.offline_parts import READERS, TABLE, is_intact, part_files, translated
from undertow.core.errors import UndertowError
from undertow.schemas.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of reading a log."""

    files: int
    size: int
    """Bytes."""
    unsealed: int
    """The number of files of earlier versions, without a checksum: they are readable, but damage may go unnoticed."""
    faults: tuple[str, ...]

    def __str__(self) -> str:
        """Return the summary in words."""
        told = (
            f"{counted(self.files, 'file')} of {self.size / 1e6:,.1f} MB read whole, "
            f"{counted(len(self.faults), 'fault')}"
        )
        if self.unsealed:
            told += f"; {self.unsealed:,} of them were written by an earlier version, without checksums"
        return told


def verify(root: Path) -> Verified:
    """Read all parts of all views, several at once, and check that no chain lacks any."""
    files = [*part_files(root), *_table_files(root)]
    seen, faults = Counter[str](), []
    with ThreadPoolExecutor(READERS) as readers:
        for said, fault in readers.map(_look, files):
            seen[said] += 1
            faults += fault
    size = sum(path.stat().st_size for path in files)
    return Verified(files=len(files), size=size, unsealed=seen["unsealed"], faults=(*faults, *_holes(root)))


def _look(path: Path) -> tuple[str, list[str]]:
    try:
        if is_intact(path):
            return "sealed", []
        with translated(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
            # The schema file for Feast has no rows to lose; Delta Lake seals none of the files that it merged.
            is_ours = file.metadata.num_rows and TABLE not in path.parts
            return "unsealed" if is_ours else "other", []
    except UndertowError as error:
        if not path.exists():  # folded, merged or expired meanwhile
            return "gone", []
        return "damaged", [str(error)]


def _table_files(root: Path) -> list[Path]:
    homes = sorted(path for path in root.glob("*") if path.is_dir())
    return [path for home in homes for path in table_files(home)]


def _holes(root: Path) -> Iterator[str]:
    for home in sorted(path for path in root.glob("*") if path.is_dir()):
        try:
            for folder in require_whole(home):
                for _ in folded_parts(folder, newest_mark(folder).position):
                    pass
        except UndertowError as error:
            yield str(error)
