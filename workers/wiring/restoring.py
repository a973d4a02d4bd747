"""Restore an online store that has lost data, from the offline log, in a thread beside the stream.

In: a `Loss`, reported by the sink; the log of the view. Out: the newest vectors of each series online again, and
events. Knows no store, no broker and no model.

Writes are idempotent, so a restore may run beside the stream, beside another restore, or again from the beginning.
Rows that are not in the log yet are written again by the replica that has them: see `undertow.stream.store_watch`.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.compute as pc

from undertow.adapters.offline_history import whole_parts
from undertow.adapters.offline_names import SEED
from undertow.adapters.offline_parts import require_intact
from undertow.core.errors import Unavailable, UndertowError
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.storage.local_copies import local_copies
from undertow.storage.store_path import AnyPath
from undertow.stream.events import Listener, NotRestored, Restored
from undertow.stream.ports import Clock, OnlineSink
from undertow.stream.retry import Retry
from undertow.stream.store_tally import Loss
from undertow.stream.store_watch import LOOK_EVERY_S

WRITE_ROWS, WRITE_BYTES = 2_048, 8 << 20
"""The largest batch written, in rows and in bytes of vectors."""


SETTLE_S = 2 * LOOK_EVERY_S
"""Within this time all replicas have detected a loss."""
TRIES = 3
"""How often the log is listed anew where a file of it changes while it is read. A choice."""
LONGEST_END_S = 10.0
"""How long a stream that ends waits for a running query of the log, which only the end of the process interrupts."""


class TalliedSink(OnlineSink, Protocol):
    """A sink of a store that has a tally."""

    def restored(self, claim: str) -> None:
        """Mark the loss of this claim as restored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestRows:
    """The newest rows of a log."""

    series: int
    batches: Iterator[EmbeddingBatch]


@contextmanager
def newest_rows(
    files: list[Path], view: SpaceView, *, read_memory_bytes: int, delivered_by_us: int | None = None
) -> Iterator[NewestRows]:
    """Find the newest row of each series in these parts, in batches of the size to write.

    Rows delivered after `delivered_by_us` (microseconds since the epoch) do not count. Memory is bounded by
    `read_memory_bytes` for any number of series: the index is spilled to disk, and vectors are streamed.
    """
    # DuckDB costs 50 MB, which a stream without losses never needs.
    from undertow.adapters.offline_query import open_query  # noqa: PLC0415

    if not files:
        yield NewestRows(series=0, batches=iter(()))
        return
    ids, features = [column.name for column in view.series], [name for name, _ in view.features]
    with (
        tempfile.TemporaryDirectory(prefix="undertow-") as spill,
        open_query(files, ids, features, memory_bytes=read_memory_bytes, spill=Path(spill)) as query,
    ):
        series = query.find_newest(delivered_by_us=delivered_by_us)
        batches = (rows for batch in query.newest(WRITE_ROWS) for rows in _batches(batch, view))
        yield NewestRows(series=series, batches=batches)


def _parts(log: AnyPath) -> list[AnyPath]:
    return [path for path in whole_parts(log) if path.name != SEED]


def _batches(found: Any, view: SpaceView) -> Iterator[EmbeddingBatch]:
    rows = min(WRITE_ROWS, max(1, WRITE_BYTES // (4 * sum(size for _, size in view.features))))
    for first in range(0, len(found), rows):
        piece = found.slice(first, rows)
        yield EmbeddingBatch(
            space=view.space,
            series={
                column.name: piece[column.name]
                .to_numpy(zero_copy_only=False)
                .astype(object if column.type == "string" else np.int64)
                for column in view.series
            },
            event_us=piece["__event_us"].to_numpy(),
            created_us=piece["__created_us"].to_numpy(),
            features={
                name: pc.list_flatten(piece[name]).to_numpy().reshape(len(piece), size) for name, size in view.features
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSource:
    """The source of a restore."""

    log: AnyPath
    view: SpaceView
    read_memory_bytes: int
    keep_s: int = 0
    """Rows delivered longer ago are skipped, since the store has expired them; 0 for none."""


class Restorer:
    """Restores one view's store in a thread of its own, whenever a loss is reported. Thread-safe."""

    def __init__(
        self,
        history: RestoreSource | None,
        open_sink: Callable[[], TalliedSink],
        *,
        tell: Listener,
        clock: Clock = time.time,
    ) -> None:
        """Without a history nothing is restored. `clock` decides what has expired."""
        self._history, self._open_sink, self._tell = history, open_sink, tell
        self._clock = clock
        self._changed = threading.Condition()
        self._wanted: Loss | None = None
        self._thread: threading.Thread | None = None
        self._untold: Loss | None = None
        self._ends = threading.Event()

    def noticed(self, loss: Loss) -> None:
        """Remember a loss, and start to restore where that is this replica's task. Does not block."""
        with self._changed:
            if not loss.is_first:
                self._untold = loss
            if not loss.is_ours or self._ends.is_set():
                return
            self._wanted = loss
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="restore", daemon=True)
                self._thread.start()

    def take(self) -> Loss | None:
        """Return the last loss once, None where there is none."""
        if self._untold is None:  # every step of a stream calls this
            return None
        with self._changed:
            loss, self._untold = self._untold, None
            return loss

    def close(self) -> None:
        """Abort a restore in progress; the next process starts it again. Idempotent."""
        self._ends.set()
        if (thread := self._thread) is not None:
            thread.join(timeout=LONGEST_END_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                loss, self._wanted = self._wanted, None
                if loss is None or self._ends.is_set():
                    self._thread = None
                    return
            try:
                with closing(self._open_sink()) as sink:
                    self._restore(loss, sink)
            except Exception as error:  # noqa: BLE001  the stream continues after any error, which must be reported
                if not self._ends.is_set():
                    kind = "" if isinstance(error, UndertowError) else f"{type(error).__name__}: "
                    self._tell(NotRestored(error=f"{kind}{error}"))

    def _restore(self, loss: Loss, sink: TalliedSink) -> None:
        if (history := self._history) is None:
            self._tell(NotRestored(error="there is no offline log to fill it from (offline.enabled)"))
            return
        began = time.monotonic()
        first, series, written = self._write_all(history, sink)
        if not loss.is_first:
            # Rows that other replicas had in memory, and appended to the log before they detected the loss.
            self._ends.wait(max(0.0, began + SETTLE_S - time.monotonic()))
            _, more = self._write(sorted({*_parts(history.log)} - {*first}), history, sink)
            written += more
        if self._ends.is_set():
            return
        self._make_retry()(partial(sink.restored, loss.claim))
        if loss.is_first and written:
            with self._changed:
                self._untold = loss
        if not loss.is_first or written:
            self._tell(Restored(series=series, written=written, seconds=time.monotonic() - began))

    def _write_all(self, history: RestoreSource, sink: TalliedSink) -> tuple[list[AnyPath], int, int]:
        for left in reversed(range(TRIES)):
            files = _parts(history.log)
            try:
                return files, *self._write(files, history, sink)
            except Unavailable:  # a file of these was folded and deleted, or rewritten, while it was read
                if not left:
                    raise
        raise AssertionError  # the last try returns or raises

    def _write(self, files: list[AnyPath], history: RestoreSource, sink: TalliedSink) -> tuple[int, int]:
        written = 0
        retry = self._make_retry()
        with ExitStack() as held:
            copies = held.enter_context(local_copies(files))
            require_intact(copies)
            newest = newest_rows(copies, history.view, read_memory_bytes=history.read_memory_bytes)
            found = held.enter_context(newest)
            for batch in found.batches:
                if self._ends.is_set():
                    break
                began = time.monotonic()
                written += retry(partial(sink.write, self._alive(batch, history.keep_s)))
                self._ends.wait(time.monotonic() - began)  # half of the store's throughput at most: the rest is live
        return found.series, written

    def _alive(self, batch: EmbeddingBatch, keep_s: int) -> EmbeddingBatch:
        if not keep_s:
            return batch
        return batch.take(np.flatnonzero(batch.created_us > (self._clock() - keep_s) * 1e6))

    def _make_retry(self) -> Retry:
        # Nothing is told: the stream retries the same store, and reports it.
        return Retry(wait=self._ends.wait, give_up=self._ends.is_set)


class RestoredOnline:
    """An `OnlineSink` with its restorer: closing it closes both."""

    def __init__(self, sink: OnlineSink, restorer: Restorer) -> None:
        """Take ownership of both."""
        self._sink, self._restorer = sink, restorer
        self.write, self.look, self.check, self.take = sink.write, sink.look, sink.check, restorer.take

    def close(self) -> None:
        """Close both. Idempotent."""
        try:
            self._restorer.close()
        finally:
            self._sink.close()
