"""Two nodes that share no folder: artifact, log and history lie in an object store, and every command works on it."""

import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.fleet.command import running
from tests.fleet.live import assert_all_is_there_once, with_fleet
from tests.fleet.nodes import Nodes
from undertow.artifact.format.manifest import read_manifest
from undertow.schemas.windows_arrow import windows_to_arrow

pytestmark = [*(pytest.mark.kafka, pytest.mark.redis, pytest.mark.ray, pytest.mark.s3), pytest.mark.timeout(600)]
WINDOWS, PUMPS = 2_000, 40


@pytest.fixture
def nodes(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    nodes = Nodes(folder, apart=tmp_path / "homes")
    yield nodes
    nodes.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_fleet_a_backfill_a_join_and_a_picture(
    make_place, make_windows, packed, nodes, store_root, tmp_path, monkeypatch
):
    options = store_root.options
    for name in ("endpoint", "region", "access_key_id", "secret_access_key"):
        monkeypatch.setenv(f"UNDERTOW_STORE__{name}".upper(), getattr(options, name))
    for path in packed.artifact.iterdir():
        (store_root / "artifact" / path.name).write_bytes(path.read_bytes())
    windows = make_windows(WINDOWS, pumps=PUMPS)
    reference = packed.reference(windows)
    history = tmp_path / "history.parquet"
    pq.write_table(windows_to_arrow(windows, read_manifest(packed.artifact).contract), history)
    (store_root / "history/part.parquet").write_bytes(history.read_bytes())

    place = make_place(partitions=4, artifacts=(store_root / "artifact",), log=store_root / "offline")
    settings = with_fleet(place.settings, replicas=2, address=nodes.address)
    nodes.add()
    place.produce(windows, partitions=4)
    with running(settings, tmp_path / "run") as command:
        command.wait_until(lambda: f'"windows": {WINDOWS}' in command.beside("status", "--json"))
        checked = command.beside("check")
        assert f"2 at {nodes.address}, each sees the artifacts and the offline log" in checked, checked
        command.send(signal.SIGTERM)
        assert command.end() == 0, command.output()
        assert_all_is_there_once(settings, windows, reference)
        kept = [[path.name for path in (nodes.home(n) / ".cache/undertow/known").iterdir()] for n in (0, 1)]
        assert kept[0] == kept[1] == [read_manifest(packed.artifact).weights]  # each node has fetched the weights

        backfilled = command.beside("backfill", f"{store_root}/history")
        assert f"{WINDOWS:,} windows embedded" in backfilled, backfilled

        third = tmp_path / "third"
        third.mkdir()
        asked = pd.DataFrame(
            {"pump": windows.series["pump"], "event_timestamp": pd.to_datetime(windows.end_us, unit="us", utc=True)}
        )
        asked.to_parquet(third / "asked.parquet")
        joined = command.beside("join", str(third / "asked.parquet"), "-o", str(third / "out.parquet"), home=third)
        assert (third / "out.parquet").exists(), joined
        vectors = np.stack(pd.read_parquet(third / "out.parquet")["embedding"])
        np.testing.assert_allclose(vectors, reference, atol=1e-6, rtol=1e-6)
        shown = command.beside("view", "--sample", "500", "--output", str(third / "space.png"), home=third)
        assert (third / "space.png").stat().st_size > 10_000, shown
