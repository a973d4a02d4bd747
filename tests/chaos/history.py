"""The history of a view as an independent reader finds it: the table by Delta's log, and the parts behind it.

In: a view's folder. Out: rows, each with where it comes from, what parts say of themselves, and in how many versions of
the table a row stands twice. Reads by deltalake and pyarrow alone, and by none of the product's readers, so that no
fault of theirs is repeated here. Knows neither a broker nor what is expected.

The table has, as `version` of the `app_id` that is a chain's nonce, the position up to which it has the chain's rows. A
part's name is its position; the first part of a chain has 0. Of a backfill's job, whose `app_id` is `@backfill/<job>`,
the version is the number of the first batch of chunks that the table lacks; which chunks a batch has is noted beside
them, and a chunk that is in the table may lie there still, or again.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

TOPIC_ID = "topic_id"
PLACE = ("created", "origin_partition")
PARTITIONS = 1024


class StaleError(Exception):
    """A version of the table and a listing of the chains do not fit: one was taken too long before the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the footer of a part says, be the part there or folded."""

    topic_id: str
    partition: int
    position: int
    first: int
    next: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The files that hold each row once."""

    table: tuple[Path, ...]
    tail: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return self.table + self.tail


def open_snapshot(home: Path) -> Snapshot:
    """List one version of the table, and then the parts behind it. Raises `StaleError`, `OSError`."""
    table = _table(home)
    tail: list[Path] = []
    for folder in _chains(home):
        nonce = folder / "_folded" / "chain.json"
        known = json.loads(nonce.read_bytes())["chain"] if nonce.exists() else None
        end = (table.transaction_version(known) or 0) if table is not None and known is not None else 0
        parts = {int(path.stem): path for path in folder.glob("[0-9]*.parquet")}
        if parts and end not in parts:
            message = f"no part at {end} in {folder}, where the table ends"
            raise StaleError(message)
        tail += [path for position, path in sorted(parts.items()) if position >= end]
    for folder in sorted(home.glob("@backfill/*")):
        tail += _chunks(folder, table)
    return Snapshot(table=() if table is None else tuple(_files(table)), tail=tuple(tail))


def read_rows(snapshot: Snapshot) -> pa.Table:
    """Return all rows, and as `topic_id` that of their part; null where they come from the table or a backfill.

    Raises `OSError` where a file is gone.
    """
    tables = [_with_topic(pq.read_table(path, partitioning=None), None) for path in snapshot.table]
    tables += [_with_topic(pq.read_table(path, partitioning=None), _said(path).get(TOPIC_ID)) for path in snapshot.tail]
    return pa.concat_tables(tables)


def read_told(home: Path) -> set[Told]:
    """Return what the parts of all chains say of themselves: those that are there, and those that were folded.

    Of one part there are two, if these differ.
    """
    found: set[Told] = set()
    for folder in _chains(home):
        for path in folder.glob("[0-9]*.parquet"):
            said = _said(path)
            numbers = {name: int(said[name]) for name in ("partition", "first", "next", "lost")}
            found.add(Told(topic_id=said[TOPIC_ID], position=int(path.stem), **numbers))
        for path in folder.glob("_folded/*.footers.gz"):
            kept = json.loads(gzip.decompress(path.read_bytes()))
            of = {"topic_id": kept[TOPIC_ID], "partition": kept["partition"]}
            for position, first, after, lost, *_ in kept["parts"]:
                found.add(Told(position=position, first=first, next=after, lost=lost, **of))
    return found


def look_back(home: Path) -> tuple[int, int]:
    """Return how many versions of the table there are, and in how many a row stands twice.

    Of versions whose files were vacuumed, what is left counts. A row is known by its partition and `created`, which
    grows from record to record of a partition, also where the topic was made anew.
    """
    table = _table(home)
    if table is None:
        return 0, 0
    rows: dict[Path, np.ndarray] = {}
    versions = doubled = 0
    for version in sorted(int(path.stem) for path in (home / "@table/_delta_log").glob("*.json")):
        table.load_as_version(version)
        versions += 1
        rows = {path: rows[path] if path in rows else _keys(path) for path in _files(table) if path.exists()}
        found = np.concatenate([np.empty(0, np.int64), *rows.values()])
        doubled += len(np.unique(found)) < len(found)
    return versions, doubled


def _table(home: Path) -> DeltaTable | None:
    return DeltaTable(str(home / "@table")) if any((home / "@table/_delta_log").glob("*.json")) else None


def _files(table: DeltaTable) -> Iterator[Path]:
    for uri in table.file_uris():
        yield Path(unquote(urlparse(uri).path)) if uri.startswith("file:") else Path(uri)


def _chains(home: Path) -> list[Path]:
    folders = (folder for folder in home.glob("*/*") if folder.name.isdigit() and folder.is_dir())
    return sorted(folder for folder in folders if folder.parent.name[0] not in "@_.")


def _chunks(folder: Path, table: DeltaTable | None) -> list[Path]:
    """Return the chunks of a job that the table lacks."""
    there = sorted(folder.glob("*.parquet"))
    end = (table.transaction_version(f"@backfill/{folder.name}") or 0) if table is not None else 0
    noted = max((int(path.stem) for path in folder.glob("_folded/[0-9]*.json")), default=0)
    if noted > end:  # chunks before it may have been deleted before they were listed
        message = f"{folder} is in the table up to {noted}, in this version up to {end}"
        raise StaleError(message)
    batches = [folder / "_batches" / f"{number:020d}.json" for number in range(1, end)]
    folded = {name for path in batches for name in json.loads(path.read_bytes())["chunks"]}
    return [path for path in there if path.stem not in folded]


def _said(path: Path) -> dict[str, str]:
    found = pq.read_metadata(path).metadata
    return {key.decode().removeprefix("undertow."): value.decode() for key, value in found.items()}


def _with_topic(rows: pa.Table, topic_id: str | None) -> pa.Table:
    column = pa.array([topic_id] * len(rows), pa.string())
    return rows.replace_schema_metadata().append_column(TOPIC_ID, column)


def _keys(path: Path) -> np.ndarray:
    rows = pq.read_table(path, columns=[*PLACE], partitioning=None)
    created, partition = (rows[name].cast(pa.int64()).fill_null(PARTITIONS - 1).to_numpy() for name in PLACE)
    return created * PARTITIONS + partition
