"""The names in the offline log: of folders, and of a chain's parts, each of which is named by its position.

In: positions. Out: names, and the names in a folder. Knows nothing of what a part holds.
"""

import re

from undertow.core.parquet_files import SUFFIX
from undertow.storage.store_path import AnyPath

BACKFILLS = "@backfill"
"""The folder inside a view's with a folder for each backfill job; parts of chains are in the folders of topics."""
TABLE, DELTA = "@table", "@delta"
"""The folder inside a view's with the table of history, and the log's with all tables' own logs: no parts lie there."""
SEED = "00000-schema.parquet"
"""The file in a view's folder without rows, which shows Feast the columns before there is any row."""
PART_NAME = re.compile(r"[0-9]{20}" + re.escape(SUFFIX)).fullmatch


def part_name(first: int | None) -> str:
    """Return the name of the part that begins at a (shifted) offset; None stands for the first part of a chain."""
    return f"{first or 0:020d}{SUFFIX}"


def part_names(folder: AnyPath) -> list[str]:
    """Return the names of the parts in a chain's folder, in order. Raises `OSError` if the folder cannot be read.

    Only names are read, so that a dangling link counts as a part here (and as damaged when it is read).
    """
    return sorted(filter(PART_NAME, (path.name for path in folder.iterdir())))


def position_of(name: str) -> int:
    """Return a part's position in its chain: the number in its name."""
    return int(name.removesuffix(SUFFIX))
