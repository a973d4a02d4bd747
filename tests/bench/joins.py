"""Point-in-time joins: `undertow join` beside Feast's own, over the same log, each in a process of its own.

In: nothing. Out: a table of seconds and of the greatest memory. Needs neither Kafka nor Redis nor a model. `make bench`
does not run it: python tests/bench/joins.py
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from undertow.adapters import feast_repo
from undertow.adapters.offline_parts import encode_part
from undertow.history.join import join
from undertow.schemas.contract import IdColumn
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings

REPO = Path(__file__).parents[2] / "feature_repo"
BEGIN, HOUR_US, SIZE, PART = 1_700_000_000_000_000, 3_600_000_000, 64, 50_000
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One join: hourly vectors of some series, rows at any time within them."""

    way: str
    """`undertow`, or `feast`."""
    series: int
    vectors: int
    """In all."""
    rows: int
    ttl_s: int = 0
    memory_mb: int = 1024

    @property
    def label(self) -> str:
        """Say it to people."""
        if self.way == "undertow":
            return f"undertow join, {self.memory_mb:,} MiB"
        return f"Feast, ttl {self.ttl_s // 3600} h" if self.ttl_s else "Feast, no ttl"


STATIONS, FLEET = {"series": 3, "vectors": 26_100}, {"series": 1_000, "vectors": 1_000_000}
CASES = (
    Case(way="feast", rows=2_000, **STATIONS),
    Case(way="feast", rows=2_000, ttl_s=6 * 3600, **STATIONS),
    Case(way="undertow", rows=2_000, **STATIONS),
    Case(way="feast", rows=20_000, ttl_s=6 * 3600, **STATIONS),
    Case(way="undertow", rows=20_000, **STATIONS),
    Case(way="feast", rows=1_000_000, ttl_s=6 * 3600, **FLEET),
    Case(way="undertow", rows=1_000_000, **FLEET),
    Case(way="undertow", rows=1_000_000, memory_mb=256, **FLEET),
)


def view_of(case: Case) -> SpaceView:
    """Return the view of a case's log."""
    series = (IdColumn(name="station", type="string"),)
    return SpaceView(name=f"of_{case.vectors}", space="a" * 64, series=series, features=(("hidden", SIZE),))


def write_log(case: Case, folder: Path) -> None:
    """Write the vectors in the order of time, as a stream does."""
    rng, view = np.random.default_rng(0), view_of(case)
    for first in range(0, case.vectors, PART):
        rows = np.arange(first, min(case.vectors, first + PART))
        batch = EmbeddingBatch(
            space=view.space,
            series={"station": np.array([f"s{row % case.series:05d}" for row in rows], object)},
            event_us=BEGIN + rows // case.series * HOUR_US,
            created_us=BEGIN + rows,
            features={"hidden": rng.normal(size=(len(rows), SIZE)).astype(np.float32)},
        )
        content = encode_part(batch, view, metadata={}, origin=(0, rows))
        (folder / f"{first:020d}.parquet").write_bytes(content)


def write_rows(case: Case, path: Path) -> None:
    """Write what is asked."""
    rng = np.random.default_rng(1)
    times = BEGIN + rng.integers(0, case.vectors // case.series * HOUR_US, case.rows)
    table = {
        "station": [f"s{one:05d}" for one in rng.integers(0, case.series, case.rows)],
        "event_timestamp": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
        "label": rng.normal(size=case.rows),
    }
    pq.write_table(pa.table(table), path)


def prepare(case: Case, folder: Path) -> None:
    """Make the log, its view in Feast with the case's ttl, and the rows."""
    log, repo = folder / f"log-{case.vectors}", folder / "feature_repo"
    if not log.exists():
        log.mkdir()
        write_log(case, log)
    if not repo.exists():
        shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("data", "*.json"))
    write_rows(case, folder / "rows.parquet")
    if case.way == "feast":
        feast_repo.register(repo, view_of(case), log, ttl_s=case.ttl_s)
        feast_repo.apply(FeastSettings(repo=repo))


def run(case: Case, folder: Path) -> dict[str, float]:
    """Join, in this process; return seconds without imports, MB at most, and the rows that found vectors."""
    rows, view, log = folder / "rows.parquet", view_of(case), folder / f"log-{case.vectors}"
    if case.way == "undertow":
        began = time.perf_counter()
        found = join(rows, folder / "out.parquet", log=log, view=view, read_memory_bytes=case.memory_mb << 20).found
    else:
        from feast import FeatureStore  # noqa: PLC0415 the other way does not pay for it

        store = FeatureStore(repo_path=str(folder / "feature_repo"))
        service = store.get_feature_service(view.name)
        began = time.perf_counter()
        frame = store.get_historical_features(pd.read_parquet(rows), service).to_df()
        frame.to_parquet(folder / "out.parquet")
        found = int(frame["hidden"].notna().sum())
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "found": found}


def measure(case: Case, folder: Path) -> dict[str, float] | None:
    """Run a case in a process of its own; None where it ended before its time, or at its time limit."""
    prepare(case, folder)
    command = [sys.executable, "-W", "ignore", __file__, "--case", json.dumps(asdict(case)), "--folder", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help="run this one in this process, as JSON; with --folder")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run(Case(**json.loads(options.case)), options.folder)))
        return
    table = Table("join", "series", "vectors", "rows", "seconds", "MB at most", "rows with vectors")
    with tempfile.TemporaryDirectory(prefix="undertow-joins-") as name:
        for case in CASES:
            found = measure(case, Path(name))
            sizes = (f"{case.series:,}", f"{case.vectors:,}", f"{case.rows:,}")
            said = (f"{found['seconds']:.1f}", f"{found['mb']:,.0f}", f"{found['found']:,.0f}") if found else ("ended",)
            table.add_row(case.label, *sizes, *said)
            Console(stderr=True).print(case.label, *sizes, *said)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
