"""What a stream holds of one partition, as bytes: written beside the offline log, read where another goes on.

In: a `StreamedSeries`. Out: an Arrow IPC stream with a row for each series, in batches, sealed by a digest; no pickle.
Knows neither where it is kept nor what it belongs to: whoever writes it says so in a few words, which are read back.

Where a stream holds its cells in a file, the copy that is written is in one, too: neither needs memory.
"""

import io
import json
import mmap
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.core.errors import Refused, Unavailable
from undertow.observations.category_places import texts_array
from undertow.observations.held_series import spread
from undertow.observations.open_rows import FIXED
from undertow.observations.plan import WindowPlan
from undertow.observations.snapshot_names import OPEN, flat, lists, names_used, of_used, renumbered, whole
from undertow.observations.streamed import StreamedSeries

VERSION = 3
"""Of what is written here; of another one nothing is read, and the topic is read again instead."""
AT_ONCE = 1 << 16
"""Series in a batch. A choice: 65,536 of 24 steps and two columns are 40 MB."""
SEAL_BYTES = 16
META = b"undertow"


def fingerprint(plan: WindowPlan, *, taken: Mapping[str, str | int]) -> str:
    """Return a text that differs wherever what is held may have another meaning.

    `taken` is what else decides which rows of which records are taken.
    """
    said = {"version": VERSION, "spec": plan.spec.meaning, "contract": plan.contract.to_json()}
    said["sources"] = {one.name: one.source for one in (*plan.past, *plan.future)}
    said |= {"static": [column.name for column in plan.static], "taken": {**taken}}
    return sha256(json.dumps(said, sort_keys=True, default=dict).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frozen:
    """A copy of what is held of one partition, which does not change any more."""

    series: int
    """The number of series."""
    batches: tuple[pa.RecordBatch, ...]
    names: Mapping[str, list[str]]
    """By column of categories, the texts of their numbers: also those of other partitions, which are not written."""
    folder: Path | None
    """Where its bytes are to be, unless in memory."""

    def to_bytes(self, about: Mapping[str, Any]) -> memoryview:
        """Write it, with words of one's own. Raises `Unavailable` where a disk is full."""
        used = names_used(self.batches, self.names)
        about = {**about, "names": of_used(self.names, used)}
        return seal((renumbered(batch, used) for batch in self.batches), about, self.folder)


def freeze(streamed: StreamedSeries, partition: int) -> Frozen:
    """Copy what is held of a partition. Raises `Unavailable` where a disk is full."""
    held = streamed.held
    places = np.flatnonzero(held.partition[: len(held)] == partition)
    # An empty partition has one batch, too: so there is a schema.
    pieces = (_copied(streamed, places[first : first + AT_ONCE]) for first in range(0, len(places) or 1, AT_ONCE))
    names = {name: held_names.texts.tolist() for name, held_names in streamed.names.items()}
    folder = streamed.held_path
    batches = tuple(pieces) if folder is None else tuple(read_batches(_written(pieces, {}, folder, None)))
    return Frozen(series=len(places), batches=batches, names=names, folder=folder)


def seal(batches: Iterable[pa.RecordBatch], about: Mapping[str, Any], folder: Path | None) -> memoryview:
    """Return the bytes of a snapshot, in a file without a name below `folder`, or in memory."""
    return _written(iter(batches), about, folder, "lz4")


def read_about(content: "bytes | memoryview") -> dict[str, Any]:
    """Return the words that were written with it. Raises `Refused` if it is damaged."""
    whole = memoryview(content)
    if blake2b(whole[:-SEAL_BYTES], digest_size=SEAL_BYTES).digest() != whole[-SEAL_BYTES:]:
        message = f"expected {len(whole)} bytes that end with their digest, found others: they are damaged"
        raise Refused(message)
    with pa.ipc.open_stream(pa.py_buffer(whole)) as stream:
        about: dict[str, Any] = json.loads(stream.schema.metadata[META])
    return about


def read_batches(content: "bytes | memoryview") -> Iterator[pa.RecordBatch]:
    """Yield the batches of a snapshot, one after another."""
    with pa.ipc.open_stream(pa.py_buffer(content)) as stream:
        yield from stream


def thaw(streamed: StreamedSeries, partition: int, content: "bytes | memoryview") -> int:
    """Hold again what was held of a partition, of which nothing is held now; return the number of series.

    The content must be of the same `fingerprint`. Raises `Refused` if it is damaged.
    """
    texts = read_about(content)["names"]
    return sum(_hold(streamed, partition, batch, texts) for batch in read_batches(content))


def _hold(streamed: StreamedSeries, partition: int, batch: pa.RecordBatch, texts: Mapping[str, list[str]]) -> int:
    def counts(name: str) -> NDArray[np.int64]:
        offsets: NDArray[np.int64] = np.diff(batch.column(name).offsets.to_numpy())
        return offsets

    def numbered(name: str, column: NDArray[np.float64]) -> NDArray[np.float64]:
        held_names = streamed.names.get(name)
        return column if held_names is None else held_names.encode(column, texts_array(texts[name]))

    held = streamed.held
    keys = np.stack([whole(batch, "key_0"), whole(batch, "key_1")], axis=1)
    places = held.add(keys, np.full(batch.num_rows, partition))
    held.newest_us[places] = whole(batch, "newest_us")
    for one, column in enumerate(streamed.plan.static):
        held.said[places, one] = numbered(column.name, whole(batch, f"said:{column.name}"))
        held.since[places, one] = whole(batch, f"since:{column.name}")
    values = {name: numbered(name, flat(batch, f"cell:{name}")) for name in held.columns}
    held.append(places, counts("index"), flat(batch, "index"), values)
    rows = {name: flat(batch, f"{OPEN}{name}") for name in FIXED if name != "place"}
    rows |= {
        name: numbered(name.partition(":")[2], flat(batch, f"{OPEN}{name}"))
        for name in streamed.open.names
        if name not in FIXED
    }
    streamed.open.add({"place": places[spread(counts(f"{OPEN}due_us"))[0]], **rows})
    return len(places)


def _copied(streamed: StreamedSeries, places: NDArray[np.int64]) -> pa.RecordBatch:
    held = streamed.held
    counts, cells = held.held_cells(places)
    rows = streamed.open.of(places)
    owner = np.searchsorted(places, rows.pop("place"))  # places ascend
    order = np.argsort(owner, kind="stable")
    open_counts = np.bincount(owner, minlength=len(places))
    arrays: dict[str, Any] = {
        "key_0": pa.array(held.keys[places, 0]),
        "key_1": pa.array(held.keys[places, 1]),
        "newest_us": pa.array(held.newest_us[places]),
    }
    for one, column in enumerate(streamed.plan.static):
        arrays[f"said:{column.name}"] = pa.array(held.said[places, one])
        arrays[f"since:{column.name}"] = pa.array(held.since[places, one])
    arrays["index"] = lists(counts, cells.index)
    arrays |= {f"cell:{name}": lists(counts, column) for name, column in cells.values.items()}
    arrays |= {f"{OPEN}{name}": lists(open_counts, column[order]) for name, column in rows.items()}
    return pa.RecordBatch.from_pydict(arrays)


class _Sealing(io.RawIOBase):
    """A file for writing, what is written being digested as well."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self.digest = file, blake2b(digest_size=SEAL_BYTES)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


def _written(
    batches: Iterator[pa.RecordBatch], about: Mapping[str, Any], folder: Path | None, compression: str | None
) -> memoryview:
    """Write batches one by one, so that of those that are made on the way one is in memory."""
    try:
        return _write_all(batches, about, folder, compression)
    except OSError as error:
        message = f"a copy of what is held could not be written below {folder} ({error}); it will be tried again"
        raise Unavailable(message) from error


def _write_all(
    batches: Iterator[pa.RecordBatch], about: Mapping[str, Any], folder: Path | None, compression: str | None
) -> memoryview:
    first = next(batches)
    schema = first.schema.with_metadata({META: json.dumps(about)})
    with nullcontext(io.BytesIO()) if folder is None else tempfile.TemporaryFile(dir=folder) as file:
        sealing = _Sealing(file)
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sealing, schema, options=options) as stream:
            stream.write_batch(first)
            for batch in batches:
                stream.write_batch(batch)
        file.write(sealing.digest.digest())
        file.flush()
        if isinstance(file, io.BytesIO):
            return file.getbuffer()
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
