"""A backfill beside the stream: chunks of windows of sites of its own, some published twice, folded by the maintainer.

In: a world. Out: chunks in its log; what is lost, wrong or twice of them afterwards. Publishes as a backfill's actor
does, without a Ray of its own. Knows nothing of faults.
"""

import random
import threading
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa

from tests.chaos.windows import windows_of
from tests.chaos.world import World
from undertow.adapters import offline_files
from undertow.adapters.offline_files import publish
from undertow.adapters.offline_names import BACKFILLS
from undertow.adapters.offline_parts import encode_part
from undertow.adapters.offline_root import view_folder
from undertow.core.errors import Unavailable
from undertow.core.parquet_files import SUFFIX
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream.order import BACKFILL_STEP_US, stamp_backfill
from undertow.wiring.root import open_embed

JOB, PREFIX = "past", "h"
CHUNK, SHORTEST_S, LONGEST_S = 40, 0.3, 3.0
"""The maintainer folds what has been quiet for a second: often, and not at once."""
AGAIN = 0.2
ATOL = 1e-6


class Past:
    """A thread that publishes chunk after chunk, until it is told to stop."""

    def __init__(self, world: World, seed: int) -> None:
        """Publish nothing yet. Failpoints are armed for replicas: this process is not to meet them."""
        offline_files.hit_failpoint = _pass_by
        self._view = world.recipe.artifacts[0].manifest.view()
        self._home = view_folder(world.settings.offline.path, self._view)
        self._embed = open_embed(world.recipe.artifacts[0])
        self._rng, self._stop = random.Random(seed), threading.Event()
        self._thread = threading.Thread(target=self._run, name="past", daemon=True)
        self._begin_us = int(time.time() * 1e6)
        self._chunks = 0  # published for sure

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End when the chunk that was begun is published."""
        self._stop.set()
        self._thread.join()

    def judge(self, rows: pa.Table) -> dict[str, int]:
        """Return what is amiss in the rows of history that no record gave rise to, by the names of `Verdict`."""
        return judge(rows, self._rows(range(self._chunks * CHUNK)), self._begin_us)

    def _run(self) -> None:
        while not self._stop.wait(self._rng.uniform(SHORTEST_S, LONGEST_S)):
            if self._chunks and self._rng.random() < AGAIN:
                self._publish(self._rng.randrange(self._chunks))
            self._publish(self._chunks)
            self._chunks += 1

    def _publish(self, number: int) -> None:
        """Publish a chunk, whatever stands in the way for a while."""
        rows = self._rows(range(number * CHUNK, (number + 1) * CHUNK))
        content = encode_part(rows, self._view, metadata={"job": JOB, "chunk": str(number)})
        path = self._home / BACKFILLS / JOB / f"{number:032x}{SUFFIX}"
        while True:
            try:
                publish(path, content, within=self._home)
            except Unavailable:
                time.sleep(SHORTEST_S)
            else:
                return

    def _rows(self, numbers: range) -> EmbeddingBatch:
        embeddings = self._embed(windows_of(numbers, PREFIX)).embeddings
        return replace(embeddings, created_us=stamp_backfill(self._begin_us, np.array(numbers, np.int64)))


def _pass_by(_point: str) -> None:
    """Do nothing at a failpoint."""


def judge(rows: pa.Table, expected: EmbeddingBatch, begin_us: int) -> dict[str, int]:
    """Compare rows with those of the windows 0, 1, ...: `created` tells of which window each is."""
    created, events = (rows[name].cast(pa.int64()).to_numpy() for name in ("created", "event_timestamp"))
    numbers, is_odd = np.divmod(created - begin_us, BACKFILL_STEP_US)
    right = (numbers >= 0) & (numbers < len(expected)) & (is_odd == 0)
    found = np.unique(numbers[right])
    at = np.where(right, numbers, 0)
    right &= (rows["site"].to_numpy() == expected.series["site"][at]) & (events == expected.event_us[at])
    vectors = np.array(rows["embedding"].to_pylist(), np.float32).reshape(len(rows), -1)
    right &= (np.abs(vectors - expected.features["embedding"][at]) <= ATOL).all(axis=1)
    return {
        "backfilled": len(expected),
        "backfill_lost": len(expected) - len(found),
        "backfill_duplicated": len(numbers) - len(np.unique(numbers)),
        "backfill_wrong": int((~right).sum()),
    }
