"""A log of `fold_world` that is to forget series, and its files as they lie on a disk, whatever else names them."""

import time
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from tests.chaos.history import open_snapshot, read_rows
from tests.history.fold_world import P0, P1, VIEW, World
from tests.s3_server import BUCKET
from undertow.adapters.offline_forget import ForgetHistory
from undertow.adapters.offline_wanted import WantedSeries
from undertow.history.forget import forget

DAY_S = 86_400.0


def wanted(*sites):
    return WantedSeries(ids=pa.table({"site": pa.array(sites, pa.string())}))


class ForgetWorld(World):
    """A world whose files may also be read without our readers."""

    def __init__(self, root, clock, disk) -> None:
        super().__init__(root, clock)
        self.disk = disk / self.home.name
        """The view's folder on a disk, also of one in a store: there it is the server's."""

    def fill(self):
        """Parts that the table has, parts that it has too, parts that it lacks, and backfills of all three kinds."""
        self.backfill(100, 104)
        for _ in range(3):
            self.publish(P0, 4)
            self.publish(P1, 3)
        self.maintain()
        self.clock.advance(1e6)
        self.maintain()
        for _ in range(3):
            self.publish(P0, 4)
        self.backfill(104, 106)
        self.maintain()
        self.publish(P0, 5)
        self.publish(P1, 2, rows=False)
        self.backfill(106, 109)
        self.backfill(200, 201)
        return self

    def history(self, *sites):
        return ForgetHistory(self.home, VIEW, wanted(*sites), clock=time.time)

    def forget(self, *sites, is_now=False, readers_s=DAY_S, online=None):
        history = self.history(*sites)
        return forget(history, history.find(), online, readers_s=readers_s, is_now=is_now)

    def files(self):
        """Every Parquet file below the view's folder, with how many rows each series has there."""
        paths = [path for path in self.disk.rglob("*.parquet") if "_delta_log" not in path.parts]
        tables = {path: pq.read_table(path, partitioning=None) for path in paths}
        return {path: Counter(table["site"].to_pylist()) for path, table in tables.items()}

    def series(self):
        """How many rows each series has in all files together."""
        return sum(self.files().values(), Counter())

    def rows(self):
        """All rows of history, each once, as an independent reader finds them, backfills' too."""
        rows = read_rows(open_snapshot(self.disk)).drop_columns(["topic_id"])
        return sorted(tuple(map(str, row.values())) for row in rows.to_pylist())

    def others(self, *sites):
        return [row for row in self.rows() if row[0] not in sites]


def on_disk(tmp_path, clock):
    return ForgetWorld(tmp_path / "log", clock, tmp_path / "log")


def in_store(store_root, clock, s3):
    return ForgetWorld(store_root, clock, s3.folder / BUCKET / store_root.key)
