"""Bring the observations of each series together, in files that are larger than memory.

In: Parquet files with a row for each observation. Out: batches of their rows, series by series, with where each came
from. DuckDB sorts, and spills what does not fit into memory. Knows no specification of windows.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from undertow.adapters.duckdb_texts import first_line, quoted
from undertow.core.errors import Refused
from undertow.core.extras import require_extras

FILE, ROW = "undertow_file", "undertow_row"
"""Columns that say where a row came from: the file's name, and the row in it."""
_BATCH_ROWS = 1 << 16


def sorted_rows(
    files: Sequence[Path], columns: Sequence[str], ids: Sequence[str], time: str, *, read_memory_bytes: int, spill: Path
) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order of the ids, then of time, with `FILE` and `ROW`; their order is the same in every run.

    Uses at most `read_memory_bytes` of memory, and the folder `spill` for the rest. Raises `Refused`.
    """
    require_extras("to sort observations", "feast")
    import duckdb  # noqa: PLC0415 an extra that windows in files do without

    order = ", ".join([*map(quoted, ids), quoted(time), "filename", "file_row_number"])
    query = (
        f"SELECT {', '.join(map(quoted, columns))}, parse_filename(filename) AS {FILE}, file_row_number AS {ROW} "  # noqa: S608 quoted
        f"FROM read_parquet(?, filename = true, file_row_number = true) ORDER BY {order}"
    )
    options: dict[str, Any] = {"memory_limit": f"{read_memory_bytes}B", "temp_directory": str(spill)}
    connection = duckdb.connect(config=options)
    try:
        found = connection.sql(query, params=[[str(file) for file in files]])
        yield from found.to_arrow_reader(_BATCH_ROWS)
    except duckdb.OutOfMemoryException as error:
        message = (
            f"the observations could not be sorted ({first_line(error)}); raise offline.read_memory_bytes, or free "
            f"space at {spill}"
        )
        raise Refused(message) from error
    except duckdb.Error as error:
        message = f"the observations cannot be read as files of the same columns: {first_line(error)}"
        raise Refused(message) from error
    finally:
        connection.close()
