"""What a stream does about its online store beside writing to it: looks at one that is idle, mends one that lost data.

In: what the sink has seen. Out: writes, by the thread that writes. Knows neither stores nor the log: what the log has
already is written again by `undertow.wiring.restoring`, what it has not got yet is written again here, by whoever
holds it.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial

from undertow.core.errors import Unavailable
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream.checkpoint import Keeper, KeepTrying, Rows
from undertow.stream.counts import Counts
from undertow.stream.events import StoreLost, Tell
from undertow.stream.losses import Loss
from undertow.stream.ports import OnlineSink

LOOK_EVERY_S = 5.0
"""So often a store is looked at that nothing is written to."""


class StoreWatch:
    """Of one stream; its thread alone asks."""

    def __init__(
        self,
        online: OnlineSink,
        writer: Executor,
        keeper: Keeper,
        counts: Counts,
        take_loss: Callable[[], Loss | None],
        keep_trying: KeepTrying,
        tell: Tell,
    ) -> None:
        """`writer` writes one thing at a time; `take_loss` returns what the store was seen to have lost since."""
        self._online, self._writer, self._keeper, self._counts = online, writer, keeper, counts
        self._take_loss, self._keep_trying, self._tell = take_loss, keep_trying, tell
        self._looked_at = -LOOK_EVERY_S

    def mind(
        self, now: float, writing: Future[None] | None, held: Sequence[Rows], *, is_idle: bool
    ) -> Future[None] | None:
        """Do what is due, behind the write that is under way; return the write that is under way then.

        `held` are rows that were handed to the writer, and to no checkpoint yet. Raises what stood in a write's way.
        """
        if is_idle and now - self._looked_at >= LOOK_EVERY_S and (writing is None or writing.done()):
            self._looked_at = now
            writing = self._behind(writing, self._look)
        if (loss := self._take_loss()) is None:
            return writing
        self._counts.store_losses += loss.is_ours
        self._tell(StoreLost(reason=loss.reason, is_ours=loss.is_ours))
        for rows in (*self._keeper.rows, *held):
            writing = self._behind(writing, partial(self._write_again, rows.embeddings))
        return writing

    def _behind(self, writing: Future[None] | None, act: Callable[[], None]) -> Future[None]:
        if writing is not None:
            writing.result()
        return self._writer.submit(act)

    def _look(self) -> None:
        with contextlib.suppress(Unavailable):  # who writes next tells of it; until then nobody waits
            self._online.look()

    def _write_again(self, embeddings: EmbeddingBatch) -> None:
        self._keep_trying(lambda: self._online.write(embeddings))
