"""A view's log with a real chain, for the tests of what folds it."""

import numpy as np
import pyarrow.dataset as ds

from undertow.adapters.offline_files import publish
from undertow.adapters.offline_fold import FileChains
from undertow.adapters.offline_history import whole_parts, with_local_parts
from undertow.adapters.offline_jobs import FileJobs
from undertow.adapters.offline_log import FileOfflineLog
from undertow.adapters.offline_parts import encode_part
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.adapters.offline_table import DeltaHistory
from undertow.history.maintain import MaintainLimits, maintain
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.records import Partition
from undertow.schemas.spaces import SpaceView
from undertow.storage.store_path import AnyPath
from undertow.stream.ports import ChainPart

DAY_US = 86_400_000_000
BEGIN_US = 1_717_200_000_000_000 - 1_717_200_000_000_000 % DAY_US
SPACE = "5" * 64
VIEW = SpaceView(name="pumps", space=SPACE, series=(IdColumn(name="site", type="string"),), features=(("hidden", 2),))
P0, P1 = Partition("windows", 0), Partition("windows", 1)
GRACE_S = 100.0
JOB = 9
"""Stands for a partition in the places of rows that were backfilled, which have none."""


def batch(first, after, *, rows=True, step_us=1_000_000):
    offsets = np.arange(first, after) if rows else np.empty(0, np.int64)
    return offsets, EmbeddingBatch(
        space=SPACE,
        series={"site": np.array([f"s{offset % 3}" for offset in offsets], object)},
        event_us=BEGIN_US + offsets * step_us,
        created_us=BEGIN_US + offsets,
        features={"hidden": np.stack([offsets, -offsets], 1).astype(np.float32)},
    )


def part(partition, first, after, *, rows=True, step_us=1_000_000):
    offsets, embeddings = batch(first, after, rows=rows, step_us=step_us)
    return ChainPart(partition=partition, first=first, next=after, embeddings=embeddings, offsets=offsets)


class World:
    """One log, any number of owners and maintainers."""

    def __init__(self, root: AnyPath, clock) -> None:
        self.root, self.clock = root, clock
        make_log(root)
        self.home = claim_folder(root, VIEW)
        self.log = self.owner()
        self.step_us = 1_000_000

    def owner(self):
        return FileOfflineLog(self.root, VIEW, cluster_id="c", topic_id="t", writer="test", clock=self.clock)

    def publish(self, partition=P0, count=2, *, rows=True):
        first = self.log.end(partition) or 0
        self.log.publish(part(partition, first, first + count, rows=rows, step_us=self.step_us))

    def backfill(self, first, after, *, job="past"):
        """Publish a chunk of a job, as its actor does: whether it was not there yet."""
        content = encode_part(batch(first, after, step_us=self.step_us)[1], VIEW, metadata={"job": job})
        return publish(self.home / "@backfill" / job / f"{first:032x}.parquet", content, within=self.home)

    def chunks(self, job="past"):
        return sorted(path.stem for path in (self.home / "@backfill" / job).glob("*.parquet"))

    def chains(self):
        return FileChains(self.home, VIEW)

    def jobs(self, **settings):
        return FileJobs(self.home, VIEW, **{"quiet_s": 0, **settings})

    def table(self):
        return DeltaHistory(self.home, VIEW)

    def maintain(self, *, chains=None, table=None, jobs=None, **limits):
        limits = MaintainLimits(**{"grace_seconds": GRACE_S, **limits})
        sources = {"chains": chains or self.chains(), "jobs": jobs or self.jobs()}
        return maintain(table=table or self.table(), limits=limits, clock=self.clock, **sources)

    def parts(self, partition=P0):
        return sorted(path.name for path in (self.home / partition.topic / str(partition.index)).glob("*.parquet"))

    def places(self):
        """Every row's (partition, offset), as a reader finds them, sorted."""
        return with_local_parts(self.home, places_in, parts=whole_parts)


def places_in(files):
    return places_of_rows(ds.dataset([str(path) for path in files], format="parquet").to_table()) if files else []


def places_of_rows(rows):
    """(partition, offset) of every row, sorted; of a backfilled one `JOB` and its number, which is in its vector."""
    numbers = [int(vector[0]) for vector in rows["hidden"].to_pylist()]
    origins = zip(*(rows[f"origin_{one}"].to_pylist() for one in ("partition", "offset")), numbers, strict=True)
    return sorted((JOB, number) if partition is None else (partition, offset) for partition, offset, number in origins)


def upto(*ends):
    """All offsets of the partitions 0, 1, ... up to these ends."""
    return [(partition, offset) for partition, end in enumerate(ends) for offset in range(end)]
