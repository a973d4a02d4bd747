"""A log at a clock of its own: parts by the real log, folded by the real maintainer, as days of streaming leave them.

In: a folder, an artifact's view, spans of time. Out: files on disk, and how many of which kind. Knows nothing of what
is measured.

Delta Lake looks at the machine's clock when it decides by age. So it is told how far behind that our clock is, and the
files of its log are made as old, by the machine's clock, as they are by ours.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from undertow.adapters.offline_fold import FileChains
from undertow.adapters.offline_history import delta_folder
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_names import DELTA, PART_NAME, TABLE
from undertow.adapters.offline_root import claim_folder, make_log, view_folder
from undertow.adapters.offline_table import DeltaHistory
from undertow.history.maintain import Maintained, MaintainLimits, maintain
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.stream.ports import ChainPart
from undertow.stream.record_marks import Mark

TOPIC = "windows"
PARTITIONS = tuple(Partition(TOPIC, index) for index in range(8))
SERIES = 256
HOUR_S = 3600.0
KINDS = ("parts", "table", "Delta log", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a stream writes."""

    checkpoint_s: float
    rows: int
    """Rows in each part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A log at one time of its clock: what a process needs to go on with it. Paths are strings, so that it is JSON."""

    root: str
    artifact: str
    now_s: float
    grace_s: float
    keep_days: int


class BehindTable(DeltaHistory):
    """The table of a log whose clock is behind the machine's."""

    def __init__(self, home: Path, view: SpaceView, now_s: float) -> None:
        super().__init__(home, view, clock=lambda: now_s)
        self._now_s = now_s

    def tidy(self, *, readers_s: float, **said: Any) -> Any:
        """Vacuum what is so old by our clock; Delta Lake counts whole hours."""
        behind_s = HOUR_S * -(-(time.time() - self._now_s) // HOUR_S)
        return super().tidy(readers_s=readers_s + behind_s, **said)


def maintain_at(moment: Moment, view: SpaceView) -> Maintained:
    """Maintain once, as `undertow maintain` does at this time."""
    home = view_folder(Path(moment.root), view)
    limits = MaintainLimits(grace_seconds=moment.grace_s, keep_days=moment.keep_days)
    table = BehindTable(home, view, moment.now_s)
    done = maintain(FileChains(home, view), table, limits, clock=lambda: moment.now_s)
    assert not done.faults, done.faults
    return done


def log_at(moment: Moment, view: SpaceView) -> FileOfflineLog:
    """Open the log as a replica does at this time."""
    return FileOfflineLog(
        Path(moment.root), view, cluster_id="c", topic_id="t", writer="bench", clock=lambda: moment.now_s
    )


class World:
    """One log and its clock."""

    def __init__(self, moment: Moment, view: SpaceView) -> None:
        """Make the log."""
        self.moment, self.view = moment, view
        make_log(Path(moment.root))
        self.home = claim_folder(Path(moment.root), view)
        self.parts = self.rows = self.most_files = 0
        self._log = log_at(moment, view)
        self._ends = dict.fromkeys(PARTITIONS, 0)
        self._born: dict[str, float] = {}

    def append(self, seconds: float, pace: Pace) -> None:
        """Let all partitions stream for so long, each in a thread of its own."""
        count = max(1, round(seconds / pace.checkpoint_s))
        with ThreadPoolExecutor(len(PARTITIONS)) as owners:
            for _ in owners.map(partial(self._append, count=count, pace=pace), PARTITIONS):
                pass
        self.parts += count * len(PARTITIONS)
        self.rows += count * len(PARTITIONS) * pace.rows
        self.wait(seconds)
        self.most_files = max(self.most_files, self.count_files().total())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        said = {name: getattr(self.moment, name) for name in ("root", "artifact", "grace_s", "keep_days")}
        self.moment = Moment(now_s=self.moment.now_s + seconds, **said)

    def maintain(self) -> Maintained:
        """Maintain once."""
        self.age()
        done = maintain_at(self.moment, self.view)
        self.age()
        return done

    def age(self) -> None:
        """Give the files of the table, and of Delta's log, their age by our clock; to be called around each round."""
        now_s, behind_s = self.moment.now_s, time.time() - self.moment.now_s
        for path in delta_folder(self.home).glob("*"):
            then = self._born.setdefault(path.name, now_s) + behind_s
            os.utime(path, (then, then))
        for path in (self.home / TABLE).rglob("*.parquet"):
            if path.name not in self._born:
                self._born[path.name] = now_s
                os.utime(path, (now_s, now_s))
        self.most_files = max(self.most_files, self.count_files().total())

    def count_files(self) -> Counter[str]:
        """Return how many files there are of each kind."""
        return Counter(kind_of(folder, name) for folder, _, names in os.walk(self.moment.root) for name in names)

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each kind."""
        found: Counter[str] = Counter()
        for folder, _, names in os.walk(self.moment.root):
            for name in names:
                found[kind_of(folder, name)] += Path(folder, name).lstat().st_size
        return found

    def _append(self, partition: Partition, *, count: int, pace: Pace) -> None:
        first = self._ends[partition]
        random = np.random.default_rng([first, partition.index])
        for number in range(count):
            begin_us = round(1e6 * (self.moment.now_s + number * pace.checkpoint_s))
            offsets = np.arange(first, first + pace.rows)
            times = begin_us + np.arange(pace.rows) * round(1e6 * pace.checkpoint_s) // pace.rows
            rows = EmbeddingBatch(
                space=self.view.space,
                series={"site": np.array([f"s{one % SERIES:04d}" for one in offsets.tolist()], object)},
                event_us=times,
                created_us=times + 1000,
                features={
                    name: random.standard_normal((pace.rows, size), np.float32) for name, size in self.view.features
                },
            )
            first += pace.rows
            self._log.publish(
                ChainPart(
                    partition=partition,
                    first=first - pace.rows,
                    next=first,
                    embeddings=rows,
                    offsets=offsets,
                    created_us=int(times[-1]) + 1000,
                    mark=Mark(offset=first - 1, epoch=0, digest=random.bytes(16).hex()),
                )
            )
        self._ends[partition] = first


def kind_of(folder: str, name: str) -> str:
    """Return of which kind a file is."""
    places = Path(folder).parts
    if DELTA in places:
        return "Delta log"
    if TABLE in places:
        return "table"
    return "parts" if PART_NAME(name) else "notes"
