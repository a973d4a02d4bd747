"""Part files of the offline log: embeddings as Parquet, and the metadata in their footers.

In: embeddings and the metadata. Out: bytes, footers, tables. Knows neither Kafka nor Ray, nor whether a part belongs to
a chain or to a backfill.
"""

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from undertow.adapters.offline_advice import alien, no_file, without_it
from undertow.adapters.offline_names import DELTA, TABLE
from undertow.adapters.offline_seal import BrokenSealError, is_sealed, read_tail, seal
from undertow.adapters.part_footer import Footer
from undertow.core.errors import Refused, Unavailable
from undertow.core.parquet_files import SUFFIX, find, of_the_log
from undertow.schemas.embeddings import CREATED, SPACE, EmbeddingBatch, offline_schema
from undertow.schemas.spaces import SpaceView
from undertow.storage.fault_words import LET_READ, refuses_writing, why
from undertow.storage.local_copies import local_copies
from undertow.storage.store_path import AnyPath, StorePath, below

FORMAT = "1"
PREFIX = "undertow."
LATEST = "created_us"
"""The key, in a part's metadata, of the `created_us` with which it ends."""
GROUP_ROWS = 1 << 16
"""Rows in a row group of a large file: a reader holds a few groups in memory. A choice."""
READERS = min(8, os.cpu_count() or 1)
"""Threads that read files: reading and checksums release the GIL. At most 8, a choice."""


def part_schema(view: SpaceView) -> pa.Schema:
    """Return the columns of every part of this space."""
    return offline_schema({column.name: column.type for column in view.series}, [name for name, _ in view.features])


def no_rows(view: SpaceView) -> EmbeddingBatch:
    """Return an empty batch of this space: parts without rows move a chain's end, or mark a chunk as done."""
    return EmbeddingBatch(
        space=view.space,
        series={column.name: np.empty(0, object if column.type == "string" else np.int64) for column in view.series},
        event_us=np.empty(0, np.int64),
        created_us=np.empty(0, np.int64),
        features={name: np.empty((0, size), np.float32) for name, size in view.features},
    )


def encode_part(
    embeddings: EmbeddingBatch,
    view: SpaceView,
    *,
    metadata: Mapping[str, str],
    latest_us: int = 0,
    origin: tuple[int, NDArray[np.int64]] | None = None,
) -> bytes:
    """Return a Parquet file. `origin` is the Kafka partition and each row's offset; a backfill has none.

    `latest_us` is the `created_us` of the last record, which may have given no row.
    """
    schema = part_schema(view)
    rows = len(embeddings)
    stamp = pa.timestamp("us", tz="UTC")
    columns = [pa.array(embeddings.series[column.name], schema.field(column.name).type) for column in view.series]
    columns += [pa.array(us, pa.int64()).cast(stamp) for us in (embeddings.event_us, embeddings.created_us)]
    columns += [_lists(embeddings.features[name]) for name, _ in view.features]
    columns.append(pa.repeat(pa.scalar(embeddings.space, pa.string()), rows))
    if origin is None:
        columns += [pa.nulls(rows, pa.int32()), pa.nulls(rows, pa.int64())]
    else:
        columns += [pa.repeat(pa.scalar(origin[0], pa.int32()), rows), pa.array(origin[1], pa.int64())]
    latest_us = max(latest_us, int(embeddings.created_us.max(initial=0)))
    return _encode(pa.Table.from_arrays(columns, schema=schema), view, {LATEST: str(latest_us), **metadata})


def encode_rows(rows: pa.Table, view: SpaceView) -> bytes:
    """Return a Parquet file of rows that were read from parts, in the order given."""
    latest_us = int(pc.max(rows[CREATED].cast(pa.int64())).as_py() or 0)
    return _encode(rows.cast(part_schema(view)), view, {LATEST: str(latest_us)}, group_rows=GROUP_ROWS)


def encode_again(path: AnyPath, rows: pa.Table, view: SpaceView) -> bytes:
    """Return the part at `path` with these rows of it: all else that it says stays. Raises as `read_metadata`."""
    metadata = read_metadata(path)
    if LATEST not in metadata and (latest_us := read_latest(path)):
        metadata[LATEST] = str(latest_us)
    return _encode(rows, view, metadata, group_rows=GROUP_ROWS)


def _encode(rows: pa.Table, view: SpaceView, metadata: Mapping[str, str], *, group_rows: int | None = None) -> bytes:
    said = {PREFIX + key: value for key, value in {"format": FORMAT, **metadata}.items()}
    sink = pa.BufferOutputStream()
    # No dictionaries for vectors: they hardly repeat, so it would cost time and save nothing.
    repeating = [*(column.name for column in view.series), SPACE]
    table = rows.replace_schema_metadata(said)
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=repeating, write_page_checksum=True, row_group_size=group_rows
    )
    return seal(bytes(sink.getvalue()))


def _lists(vectors: NDArray[np.float32]) -> Any:
    rows, size = vectors.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(size)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.reshape(-1)))


def read_metadata(path: AnyPath) -> dict[str, str]:
    """Return a part's metadata. Raises `Refused` for a file that is damaged or not ours, `Unavailable`."""
    with translated(path), path.open("rb") as file:
        found = pq.read_metadata(pa.BufferReader(read_tail(file).footer)).metadata or {}
    said = _said(found)
    if "format" not in said:
        raise alien(path)
    if said["format"] != FORMAT:
        message = (
            f"{path} says format {said['format']}, but this version reads format {FORMAT} of the offline log; "
            "move files of others out of the folder, or use the version of undertow that wrote it"
        )
        raise Refused(message)
    return said


def is_of_same(path: AnyPath, content: bytes) -> bool:
    """Whether a part is this one, maybe without rows that were forgotten since: its writer's reply may be lost."""
    wanted = pq.read_metadata(pa.BufferReader(content)).metadata
    return read_metadata(path) == _said(wanted)


def read_latest(path: AnyPath) -> int:
    """Return the `created_us` with which a part ends; 0 for one of an earlier version without rows.

    Raises as `read_metadata` does.
    """
    if (said := read_metadata(path).get(LATEST)) is not None:
        return int(said)
    created = read_part(path, [CREATED])[CREATED]
    return int(pc.max(created.cast(pa.int64())).as_py() or 0)


def _said(metadata: Mapping[bytes, bytes]) -> dict[str, str]:
    ours = PREFIX.encode()
    return {key.removeprefix(ours).decode(): value.decode() for key, value in metadata.items() if key.startswith(ours)}


@contextlib.contextmanager
def translated(path: AnyPath) -> Iterator[None]:
    """Translate errors: `Refused` for a file that is damaged, or that we may not read or write, else `Unavailable`."""
    try:
        yield
    except PermissionError as error:
        message = f"{path} {refuses_writing(path, error) or f'cannot be read {why(path, error, LET_READ)}'}"
        raise Refused(message) from error
    except IsADirectoryError as error:
        raise no_file(Path(error.filename) if error.filename else path) from error
    except (pa.ArrowException, BrokenSealError, OSError) as error:
        # Arrow's own errors are OSErrors too, of a broken footer and of a file that is gone; they have no errno.
        if isinstance(error, FileNotFoundError) or getattr(error, "errno", None) is not None:
            message = f"{path} {refuses_writing(path, error) or f'could not be read ({error})'}; it will be tried again"
            raise Unavailable(message) from error
        message = f"{path} is damaged ({error}); {without_it(path)}"
        raise Refused(message) from error


def read_footer(path: AnyPath) -> Footer:
    """Return the footer of a part of a chain. Raises `Refused`."""
    said = read_metadata(path)
    try:
        return Footer.parse(said)
    except (KeyError, ValueError) as error:
        message = f"{path} is no part of a chain: its footer lacks or garbles {error}; move it out of the folder"
        raise Refused(message) from error


def part_files(folder: AnyPath) -> list[AnyPath]:
    """Return all published parts below a folder, in the order of their names; none if the folder does not exist.

    Raises `Refused` for a folder that we may not read, `Unavailable` for one that cannot be read now.
    """
    try:
        if isinstance(folder, StorePath):
            return sorted(path for path in folder.walk_objects() if _is_part(path.name, below(path, folder)))
        return [*find(folder, _of_parts).paths] if folder.is_dir() else []
    except OSError as error:
        with translated(Path(error.filename) if error.filename and isinstance(folder, Path) else folder):
            raise


def _of_parts(path: Path, name: str) -> str | None:
    """Count parts only: which files of the table count depends on its version (`offline_history`)."""
    return "" if _is_of_table(name) else of_the_log(path, name)


def _is_part(last: str, name: str) -> bool:
    """Whether `of_the_log` would count an object."""
    return last.endswith(SUFFIX) and not last.startswith(".") and not _is_of_table(name)


def _is_of_table(name: str) -> bool:
    return not {TABLE, DELTA}.isdisjoint(name.split("/"))


def is_intact(path: AnyPath) -> bool:
    """Read a part and check its seal; return False if it has none, as parts of earlier versions.

    Raises `Refused` if it is damaged, `Unavailable`.
    """
    with translated(path), path.open("rb") as file:
        return is_sealed(file)


def read_part(path: AnyPath, columns: Sequence[str] | None) -> pa.Table:
    """Return some columns of a part, with None all. Raises `Refused` if the part is damaged, `Unavailable`."""
    # Opened once: a part may be replaced by one without the rows of series that are forgotten.
    with translated(path), path.open("rb") if isinstance(path, Path) else io.BytesIO(path.read_bytes()) as source:
        if not is_sealed(source) and not {*(columns or ())} <= {*pq.read_schema(source).names}:
            raise alien(path)
        return pq.read_table(
            source, columns=columns and list(columns), partitioning=None, page_checksum_verification=True
        )


def require_intact(files: Sequence[AnyPath]) -> bool:
    """Read parts, several at once, and check their seals; return False if one has none. Raises as `is_intact`."""
    with ThreadPoolExecutor(READERS) as readers:
        return all([*readers.map(is_intact, files)])


def read_rows(home: AnyPath) -> pa.Table:
    """Return all rows of all parts of a view, of the stream and of backfills. Raises `Refused` if there are none."""
    files = part_files(home)
    if not files:
        message = f"no parts below {home}; run `undertow run` or `undertow backfill` first"
        raise Refused(message)
    require_intact(files)
    with local_copies(files) as copies:
        return ds.dataset([str(path) for path in copies], format="parquet").to_table().replace_schema_metadata()
