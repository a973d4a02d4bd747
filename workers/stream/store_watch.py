"""Check an idle online store for lost data, and repeat the writes that it lost before they were in the log.

In: the losses that the sink has detected. Out: writes, in the writer's thread. Knows neither stores nor the log: rows
that are in the log are restored by `undertow.wiring.restoring`, those that are not yet are written again here, by the
replica that has them in memory.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial

from undertow.core.errors import Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream.checkpoint import CheckpointWriter, DeliveredRows, RetryCall
from undertow.stream.counts import Accumulator
from undertow.stream.events import Listener, StoreLost
from undertow.stream.ports import OnlineSink
from undertow.stream.store_tally import Loss

LOOK_EVERY_S = 5.0
"""How often an idle store is checked."""


class StoreWatch:
    """Watches the store of one stream, in that stream's thread."""

    def __init__(
        self,
        online: OnlineSink,
        writer: Executor,
        checkpoint_writer: CheckpointWriter,
        sums: Accumulator,
        take_loss: Callable[[], Loss | None],
        retry: RetryCall,
        tell: Listener,
    ) -> None:
        """`writer` runs one task at a time; `take_loss` returns the loss detected since the last call, if any."""
        self._online, self._writer, self._checkpoints, self._sums = online, writer, checkpoint_writer, sums
        self._take_loss, self._retry, self._tell = take_loss, retry, tell
        self._looked_at = -LOOK_EVERY_S

    def mind(
        self, now: float, writing: Future[None] | None, held: Sequence[DeliveredRows], *, is_idle: bool
    ) -> Future[None] | None:
        """Queue the checks and writes that are due after the pending write; return the write pending then.

        `held` are rows that were handed to the writer, and to no checkpoint yet. Raises a write's error.
        """
        if is_idle and now - self._looked_at >= LOOK_EVERY_S and (writing is None or writing.done()):
            self._looked_at = now
            writing = self._behind(writing, self._look)
        if (loss := self._take_loss()) is None:
            return writing
        self._sums.add(store_losses=int(loss.is_ours))
        self._tell(StoreLost(reason=loss.reason, is_ours=loss.is_ours))
        for rows in (*self._checkpoints.rows, *held):
            writing = self._behind(writing, partial(self._write_again, rows.embeddings))
        return writing

    def _behind(self, writing: Future[None] | None, act: Callable[[], None]) -> Future[None]:
        if writing is not None:
            writing.result()
        return self._writer.submit(act)

    def _look(self) -> None:
        with contextlib.suppress(Unavailable):  # the next write reports it; until then nothing waits
            self._online.look()

    def _write_again(self, embeddings: EmbeddingBatch) -> None:
        self._retry(lambda: self._online.write(embeddings))
