"""Sort a stream of batches by row number, in bounded memory.

In: Arrow batches in any order, each row with its number. Out: tables in order. Knows nothing of what the rows hold.

DuckDB could sort them, but it sorts whole rows with their lists, and was seen to fail with a limit of several times the
rows' size. Since each row's place is known beforehand, one pass that distributes rows to blocks is enough.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


def in_order(batches: Iterable[Any], number: str, *, rows: int, block_rows: int, folder: Path) -> Iterator[pa.Table]:
    """Return the rows ordered by their column `number`, `0 <= number < rows`, in blocks of `block_rows` numbers.

    One block is held in memory at a time; if there are several, the others are in files in `folder`.
    """
    blocks = -(-rows // block_rows)
    if blocks == 1:
        held = list(batches)
        if held:
            yield _sorted(pa.Table.from_batches(held), number)
        return
    schema = None
    for batch in batches:
        schema = batch.schema
        block = batch[number].to_numpy() // block_rows
        order = np.argsort(block, kind="stable")
        dealt, found = batch.take(pa.array(order)), np.unique(block)
        begins = np.searchsorted(block[order], found)
        for one, begin, end in zip(found.tolist(), begins, [*begins[1:], len(batch)], strict=True):
            with _path(folder, one).open("ab") as file:  # reopened: blocks may exceed the limit of open files
                file.write(dealt.slice(begin, end - begin).serialize())
    for one in range(blocks):
        path = _path(folder, one)
        if path.exists():
            yield _sorted(pa.Table.from_batches(_messages(path, schema)), number)
            path.unlink()


def _path(folder: Path, block: int) -> Path:
    return folder / f"block-{block}"


def _messages(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pa.OSFile(str(path)) as file:
        while file.tell() < file.size():
            yield pa.ipc.read_record_batch(pa.ipc.read_message(file), schema)


def _sorted(table: pa.Table, number: str) -> pa.Table:
    return table.take(pa.array(np.argsort(table[number].to_numpy()))).combine_chunks()
