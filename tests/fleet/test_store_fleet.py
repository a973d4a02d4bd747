"""A fleet whose log lies in an object store: no replica shares a disk with another, and every command reads it."""

import os
import signal

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from rich.console import Console

from tests.fleet.live import assert_all_is_there_once, newest_of, online_rows, running, wait_until, wait_until_kept
from tests.s3_server import BUCKET
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_table_version import storage_options
from undertow.adapters.offline_verify import verify
from undertow.artifact.format.manifest import read_manifest
from undertow.backfill.run import run as run_backfill
from undertow.history.join import join
from undertow.history.maintaining import maintain_folder
from undertow.history.rebuild import run as rebuild
from undertow.schemas.windows_arrow import windows_to_arrow
from undertow.settings.sections import BackfillSettings
from undertow.view.run import PictureOptions, view

pytestmark = [
    *(pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.s3),
    pytest.mark.usefixtures("ray_session"),
]

WINDOWS, PUMPS = 4_000, 80


def changed(settings, section, **values):
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


def origins_in_objects(s3, root):
    """(partition, offset) of every row of the stream, read from the server's disk by Arrow alone."""
    files = [path for path in (s3.folder / BUCKET / root.key).rglob("*.parquet") if "@" not in str(path)]
    rows = ds.dataset([str(path) for path in files], format="parquet").to_table(["origin_partition", "origin_offset"])
    return sorted(zip(*(column.to_pylist() for column in rows.columns), strict=True))


@pytest.mark.timeout(600)
def test_what_a_fleet_wrote_into_a_store_while_one_of_it_was_killed_all_commands_read(
    make_place, make_windows, packed, store_root, s3, tmp_path
):
    windows = make_windows(WINDOWS, pumps=PUMPS)
    reference = packed.reference(windows)
    place = make_place(log=store_root)
    with running(place.settings) as fleet:
        wait_until(fleet, lambda s: sum(len(r.held) for r in s.replicas) == 8 and len(s.replicas) == 2)
        place.produce(windows.take(np.arange(WINDOWS // 2)))
        status = wait_until(fleet, lambda s: s.counts.windows > WINDOWS // 8)
        victim = max(status.replicas, key=lambda replica: replica.counts.windows)
        os.kill(victim.pid, signal.SIGKILL)
        place.produce(windows.take(np.arange(WINDOWS // 2, WINDOWS)))
        wait_until_kept(fleet, place.settings, WINDOWS, lambda s: s.failovers == 1 and len(s.replicas) == 2)
    assert_all_is_there_once(place.settings, windows, reference)
    there = origins_in_objects(s3, store_root)
    assert len(there) == len(set(there)) == WINDOWS

    settings = changed(place.settings, "offline", grace_seconds=0)
    shown = read_manifest(packed.artifact).view()
    home = view_folder(store_root, shown)
    asked = pd.DataFrame(
        {"pump": windows.series["pump"], "event_timestamp": pd.to_datetime(windows.end_us, unit="us", utc=True)}
    )
    asked.to_parquet(tmp_path / "asked.parquet")

    def joined():
        join(tmp_path / "asked.parquet", tmp_path / "out.parquet", log=home, view=shown, read_memory_bytes=1 << 28)
        return np.stack(pd.read_parquet(tmp_path / "out.parquet")["embedding"])

    np.testing.assert_allclose(joined(), reference, atol=1e-6, rtol=1e-6)
    done = maintain_folder(settings.offline, shown)
    assert (done.faults, done.rows > 0, done.deleted > 0) == ((), True, True)
    in_table = DeltaTable(str(home / "@table"), storage_options=storage_options(home)).to_pyarrow_table()
    columns = (in_table[f"origin_{one}"].to_pylist() for one in ("partition", "offset"))
    assert sorted([*zip(*columns, strict=True), *origins_in_objects(s3, store_root)]) == there
    np.testing.assert_allclose(joined(), reference, atol=1e-6, rtol=1e-6)
    found = verify(store_root)
    assert (found.faults, found.unsealed) == ((), 0)

    picture = tmp_path / "space.png"
    (note, _) = view(settings, PictureOptions(source=None, outputs=(picture,), sample=500))
    assert f"{WINDOWS:,}" in note
    assert picture.stat().st_size > 10_000

    history = tmp_path / "history.parquet"
    pq.write_table(windows_to_arrow(windows, read_manifest(packed.artifact).contract), history)
    settings = settings.model_copy(update={"backfill": BackfillSettings(chunk_rows=1000, replicas=2)})
    (report,) = run_backfill(settings, history, Console(quiet=True))
    assert (report.counts.windows, report.chunks, report.skipped) == (WINDOWS, 4, 0)
    (again,) = run_backfill(settings, history, Console(quiet=True))
    assert (again.chunks, again.skipped) == (4, 4)
    (rebuilt,) = rebuild(settings, Console(quiet=True))
    assert rebuilt.series == PUMPS
    newest = newest_of(windows)
    np.testing.assert_allclose(online_rows(settings, newest.index), reference[newest], atol=1e-6, rtol=1e-6)
