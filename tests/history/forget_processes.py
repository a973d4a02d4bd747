"""A process of its own that forgets series of a log of `forget_world`, in history and online, and can be killed.

In: a log's folder, an online store in SQLite, where to arm failpoints. Out: the process; an online store with series.
Knows nothing of who folds, writes or reads the log meanwhile.
"""

import os
import sqlite3
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.history.fold_processes import FORKS
from tests.history.fold_world import BEGIN_US, SPACE, VIEW
from undertow.adapters.feast_bytes import entity_keys
from undertow.adapters.offline_forget import ForgetHistory
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_wanted import WantedSeries
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.history.forget import forget
from undertow.schemas.embeddings import EmbeddingBatch
from undertow.stream import failpoints

SITES = ("s0", "s1", "s2")
FEASTS_TABLE = (
    f'CREATE TABLE "p_{VIEW.view}" (entity_key BLOB, feature_name TEXT, value BLOB, vector_value BLOB, '
    "event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
)


def ids(*sites: str) -> dict[str, np.ndarray]:
    return {"site": np.array(sites, object)}


def open_online(path: Path) -> SqliteOnline:
    return SqliteOnline(path=path, project="p", view=VIEW.view)


def make_online(path: Path) -> None:
    """Make a store with all series."""
    with sqlite3.connect(path) as connection:
        connection.execute(FEASTS_TABLE)
    online = open_online(path)
    times = np.full(len(SITES), BEGIN_US)
    vectors = {"hidden": np.ones((len(SITES), 2), np.float32)}
    rows = EmbeddingBatch(space=SPACE, series=ids(*SITES), event_us=times, created_us=times, features=vectors)
    assert online.write(rows) == len(SITES)
    online.close()


def sites_online(path: Path) -> set[str]:
    """Return which series are there, read without our store."""
    with sqlite3.connect(path) as connection:
        there = {key for (key,) in connection.execute(f'SELECT entity_key FROM "p_{VIEW.view}"')}  # noqa: S608 ours
    return {site for site, key in zip(SITES, entity_keys(ids(*SITES)), strict=True) if key in there}


def start(root: Path, online: Path, *sites: str, armed: Path | None = None) -> BaseProcess:
    """Begin to forget; 0 is the exit code of one that has ended it."""
    process: BaseProcess = FORKS.Process(target=_forget, args=(root, online, sites, armed), daemon=True)
    process.start()
    return process


def _forget(root: Path, online_path: Path, sites: tuple[str, ...], armed: Path | None) -> None:
    if armed is not None:
        os.environ[failpoints.FOLDER] = str(armed)
    wanted = WantedSeries(ids=pa.table({"site": pa.array(sites, pa.string())}))
    history = ForgetHistory(view_folder(root, VIEW), VIEW, wanted, clock=time.time)
    online = open_online(online_path)
    done = forget(history, history.find(), lambda: online.forget(ids(*sites)), readers_s=86_400.0, is_now=True)
    assert done.is_done
