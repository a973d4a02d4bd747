"""What a stream holds of one partition, as bytes: written beside the offline log, read where another goes on.

In: a `StreamedSeries`. Out: an Arrow IPC stream with a row for each series, sealed by a digest; no pickle. Knows
neither where it is kept nor what it belongs to: whoever writes it says so in a few words, which are read back.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from undertow.core.errors import Refused
from undertow.observations.category_places import texts_array
from undertow.observations.held_series import spread
from undertow.observations.open_rows import FIXED
from undertow.observations.plan import WindowPlan
from undertow.observations.streamed import StreamedSeries

VERSION = 1
"""Of what is written here; of another one nothing is read, and the topic is read again instead."""
_SEAL_BYTES = 16
_META = b"undertow"
_OPEN = "open:"


def fingerprint(plan: WindowPlan) -> str:
    """Return a text that differs wherever what is held may have another meaning."""
    spec = {name: getattr(plan.spec, name) for name in plan.spec.__slots__}
    said = {"version": VERSION, "spec": spec, "contract": plan.contract.to_json()}
    said["sources"] = {one.name: one.source for one in (*plan.past, *plan.future)}
    said["static"] = [column.name for column in plan.static]
    return sha256(json.dumps(said, sort_keys=True, default=dict).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frozen:
    """A copy of what is held of one partition, which does not change any more."""

    fixed: Mapping[str, NDArray[np.generic]]
    """By name, (m,)."""
    lists: Mapping[str, tuple[NDArray[np.int64], NDArray[np.generic]]]
    """By name, (m,) how many each series has, and all of them."""
    names: Mapping[str, list[str]]
    """By column of categories, the texts of their numbers."""

    @property
    def series(self) -> int:
        """The number of series."""
        return len(self.fixed["newest_us"])

    def to_bytes(self, about: Mapping[str, Any]) -> bytes:
        """Write it, with words of one's own."""
        arrays: dict[str, Any] = {name: pa.array(column) for name, column in self.fixed.items()}
        for name, (counts, column) in self.lists.items():
            offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int64())
            arrays[name] = pa.LargeListArray.from_arrays(offsets, pa.array(column))
        batch = pa.RecordBatch.from_pydict(arrays)
        told = json.dumps({**about, "names": self.names})
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, batch.schema.with_metadata({_META: told}), options=options) as stream:
            stream.write_batch(batch)
        content: bytes = sink.getvalue().to_pybytes()
        return content + _seal(content)


def freeze(streamed: StreamedSeries, partition: int) -> Frozen:
    """Copy what is held of a partition."""
    held = streamed.held
    places = np.flatnonzero(held.partition[: len(held)] == partition)
    counts, cells = held.held_cells(places)
    number = np.full(len(held), -1, np.int64)
    number[places] = np.arange(len(places))
    of_rows = number[streamed.open["place"]]
    rows = streamed.open.of(of_rows >= 0)
    order = np.argsort(of_rows[of_rows >= 0], kind="stable")
    open_counts = np.bincount(of_rows[of_rows >= 0], minlength=len(places)).astype(np.int64)
    fixed: dict[str, NDArray[np.generic]] = {
        "key_0": held.keys[places, 0],
        "key_1": held.keys[places, 1],
        "newest_us": held.newest_us[places],
    }
    for one, column in enumerate(streamed.plan.static):
        fixed[f"said:{column.name}"] = held.said[places, one]
        fixed[f"since:{column.name}"] = held.since[places, one]
    lists: dict[str, tuple[NDArray[np.int64], NDArray[np.generic]]] = {"index": (counts, cells.index)}
    lists |= {f"cell:{name}": (counts, column) for name, column in cells.values.items()}
    lists |= {f"{_OPEN}{name}": (open_counts, column[order]) for name, column in rows.items() if name != "place"}
    names = {name: held_names.texts.tolist() for name, held_names in streamed.names.items()}
    return Frozen(fixed=fixed, lists=lists, names=names)


def read_about(content: bytes) -> dict[str, Any]:
    """Return the words that were written with it. Raises `Refused` if it is damaged."""
    body, seal = content[:-_SEAL_BYTES], content[-_SEAL_BYTES:]
    if _seal(body) != seal:
        message = f"expected {len(content)} bytes that end with their digest, found others: they are damaged"
        raise Refused(message)
    with pa.ipc.open_stream(body) as stream:
        about: dict[str, Any] = json.loads(stream.schema.metadata[_META])
    return about


def thaw(streamed: StreamedSeries, partition: int, content: bytes) -> int:
    """Hold again what was held of a partition, of which nothing is held now; return the number of series.

    The content must be of the same `fingerprint`. Raises `Refused` if it is damaged.
    """
    texts = read_about(content)["names"]
    with pa.ipc.open_stream(content[:-_SEAL_BYTES]) as stream:
        batch = stream.read_next_batch()
    fixed = {name: batch.column(name) for name in batch.schema.names}

    def flat(name: str) -> NDArray[Any]:
        return np.asarray(fixed[name].flatten().to_numpy(zero_copy_only=False))

    def whole(name: str) -> NDArray[Any]:
        return np.asarray(fixed[name].to_numpy(zero_copy_only=False))

    def counts(name: str) -> NDArray[np.int64]:
        offsets: NDArray[np.int64] = np.diff(fixed[name].offsets.to_numpy())
        return offsets

    def numbered(name: str, column: NDArray[np.float64]) -> NDArray[np.float64]:
        held_names = streamed.names.get(name)
        return column if held_names is None else held_names.encode(column, texts_array(texts[name]))

    held = streamed.held
    places = held.add(np.stack([whole("key_0"), whole("key_1")], axis=1), np.full(batch.num_rows, partition))
    held.newest_us[places] = whole("newest_us")
    for one, column in enumerate(streamed.plan.static):
        held.said[places, one] = numbered(column.name, whole(f"said:{column.name}"))
        held.since[places, one] = whole(f"since:{column.name}")
    values = {name: numbered(name, flat(f"cell:{name}")) for name in held.columns}
    held.append(places, counts("index"), flat("index"), values)
    rows = {name: flat(f"{_OPEN}{name}") for name in FIXED if name != "place"}
    rows |= {
        name: numbered(name.partition(":")[2], flat(f"{_OPEN}{name}"))
        for name in streamed.open.names
        if name not in FIXED
    }
    streamed.open.add({"place": places[spread(counts(f"{_OPEN}due_us"))[0]], **rows})
    return len(places)


def _seal(body: bytes) -> bytes:
    return blake2b(body, digest_size=_SEAL_BYTES).digest()
