"""The work of one actor of a backfill: embed a chunk of history into a part of the offline log, and online.

In: a recipe (plain data) and chunks. Out: parts, rejects, online rows, a few numbers. Knows neither Ray nor settings.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_names import BACKFILLS
from undertow.adapters.offline_parts import encode_part, no_rows
from undertow.adapters.offline_root import LogIdentity, read_nonce, view_folder
from undertow.backfill.chunk_counts import ChunkCounts, LongestRun
from undertow.backfill.chunk_windows import ChunkWindows
from undertow.backfill.chunks import Chunk
from undertow.backfill.observed import ObservedHistory
from undertow.backfill.reject_counts import RefusedRow, RejectCounts, lines_of
from undertow.core.embedding import Embed
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.contract import InputContract
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.event_times import EventTimes
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.storage.store_path import AnyPath
from undertow.stream.order import stamp_backfill
from undertow.stream.ports import OnlineSink
from undertow.stream.retry import Retry

RETRY_FOR_S = 60.0
"""How long an unavailable store is retried; then the job fails, and resumes when it is started again. A choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRecipe:
    """Which history goes into which space. Paths must be the same on every node."""

    history: AnyPath
    """A Parquet file, or a folder of them, in the schema of `undertow.schemas.windows_arrow`; or the folder with the
    pieces of what was `observed`."""
    contract: InputContract
    view: SpaceView
    offline: OfflineSettings
    """With the absolute path of the offline log."""
    job: str
    """The job's name; a backfill of the same name resumes where the last one stopped."""
    times: EventTimes = field(default_factory=EventTimes)
    """The accepted event times, fixed once for the whole run, so that they do not depend on an actor's clock."""
    observed: ObservedHistory | None = None
    """How the rows become windows, if they are observations."""
    begin_us: int = 0
    """`created_us` of the first row (`undertow.backfill.begin`), fixed for the whole run, too: an actor presumed dead
    must not write rows that count as later than those of its successor."""

    @property
    def home(self) -> AnyPath:
        """The view's folder in the log, which must have been claimed."""
        return view_folder(self.offline.path, self.view)

    @property
    def folder(self) -> AnyPath:
        """The folder of this job's parts."""
        return self.home / BACKFILLS / self.job

    @property
    def rejects(self) -> AnyPath:
        """The folder with lists of rejected rows, a file for each chunk that has some."""
        # Feast reads every Parquet file below the space, except in folders that begin with an underscore.
        return self.folder / "_rejects"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackfillTools:
    """The parts built from a recipe inside an actor."""

    embed: Embed
    online: OnlineSink | None = None
    """None writes the offline log only."""


class ChunkEmbedder:
    """Embeds chunks, one after the other. Idempotent: a chunk may be done twice, by any actor, with the same result."""

    def __init__(self, recipe: BackfillRecipe, tools: BackfillTools, *, retry: Retry | None = None) -> None:
        self._recipe, self._tools, self._retry = recipe, tools, retry or Retry(for_s=RETRY_FOR_S)
        self._log = LogIdentity(root=recipe.offline.path, nonce=read_nonce(recipe.offline.path))
        self._history = ChunkWindows(recipe.history, recipe.contract, recipe.times, recipe.observed)

    def embed(self, chunk: Chunk) -> ChunkCounts:
        """Embed one chunk. Its part is published last, so that its presence says that all of the chunk is done.

        Each chunk writes its own newest rows online at once: the guard of the sink makes the order of chunks, and of a
        live stream beside them, irrelevant, and no table of all series has to be gathered anywhere.
        """
        view = self._recipe.view
        times = self._recipe.times
        rejects: list[RefusedRow] = []
        done: list[EmbeddingBatch] = []
        for read in self._history.read(chunk):
            rejects += [(bad.row, bad.reason, bad.detail) for bad in read.bad]
            if len(read.windows):
                embedded = self._tools.embed(read.windows)
                # Of observations there may be more windows than rows; those of a series are told apart by their ends.
                places = chunk.before + np.minimum(read.rows[embedded.rows], chunk.rows - 1)
                done.append(replace(embedded.embeddings, created_us=stamp_backfill(self._recipe.begin_us, places)))
                rejects += [(int(read.rows[fault.row]), fault.reason, fault.detail) for fault in embedded.faults]
        embeddings = EmbeddingBatch.concat(done) if done else no_rows(view)
        online = self._tools.online
        if len(embeddings) and online is not None:
            newest = embeddings.newest_per_series()
            self._retry(lambda: online.write(newest))
        rejects.sort()
        if rejects:
            noted = lines_of(chunk, rejects)
            self._retry(lambda: self._publish(f"_rejects/{chunk.id}.jsonl", noted))
        content = encode_part(
            embeddings,
            view,
            metadata={
                "job": self._recipe.job,
                "chunk": chunk.id,
                "path": chunk.path,
                "row": str(chunk.first),
                "rows": str(chunk.rows),
                "space": view.space,
            },
        )
        self._retry(lambda: self._publish(f"{chunk.id}{SUFFIX}", content))
        odd = int(np.count_nonzero(times.odd(embeddings.event_us)))
        return ChunkCounts(
            windows=len(embeddings),
            odd_times=odd,
            rejects=RejectCounts.of(chunk, rejects),
            longest=LongestRun(steps=self._history.longest),
        )

    def _publish(self, name: str, content: bytes) -> bool:
        self._log.require_still()
        return publish(self._recipe.folder / name, content, within=self._recipe.home)
