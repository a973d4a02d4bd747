"""Maintainers in processes of their own, that fold a log of `fold_world` again and again, and can be killed.

In: a log's folder, where to arm failpoints. Out: processes; the last step that each has passed, what it could not do.
Knows nothing of who writes the log, nor of what is expected of it.

They are forked by a server that has loaded everything and run nothing, so that one starts in no time, though Delta
Lake's threads do not survive a fork.
"""

import multiprocessing
import os
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.history.fold_world import VIEW
from undertow.adapters import offline_fold, offline_footers, offline_jobs, offline_table
from undertow.adapters.offline_fold import FileChains
from undertow.adapters.offline_jobs import FileJobs
from undertow.adapters.offline_root import view_folder
from undertow.adapters.offline_table import DeltaHistory
from undertow.core.errors import UndertowError
from undertow.history.maintain import MaintainLimits, maintain
from undertow.stream import failpoints

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
MODULES: tuple[Any, ...] = (offline_fold, offline_footers, offline_jobs, offline_table)
STEPS = ("begun", *failpoints.FOLD_POINTS)
LIMITS = MaintainLimits(grace_seconds=0.0, batch_bytes=10_000)
"""Several transactions in one run, and nothing waits to be deleted."""


class MaintainerProcess:
    """One maintainer, from its start to its end."""

    def __init__(self, root: Path, armed: Path | None = None) -> None:
        """Begin to fold. It meets the failpoints that are armed in a folder, if one is given."""
        self._step, self._told, self._enough = FORKS.Value("i", 0), FORKS.Queue(), FORKS.Event()
        self._process: BaseProcess = FORKS.Process(
            target=_fold, args=(root, armed, self._step, self._told, self._enough), daemon=True
        )
        self._process.start()

    @property
    def passed(self) -> str:
        """The last step that it has passed."""
        return STEPS[self._step.value]

    def await_death(self, within_s: float) -> bool:
        """Return whether it has been killed, waiting for a while."""
        self._process.join(within_s)
        return self._process.exitcode is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def end(self) -> list[str]:
        """Let it end after what it does now; return what it could not do, run by run."""
        self._enough.set()
        told: list[str] = self._told.get()
        self._process.join()
        assert self._process.exitcode == 0
        return told


def _fold(root: Path, armed: Path | None, step: Any, told: Any, enough: Any) -> None:
    if armed is not None:
        os.environ[failpoints.FOLDER] = str(armed)

    def hit(point: str) -> None:
        step.value = STEPS.index(point)
        failpoints.hit_failpoint(point)

    for module in MODULES:
        module.hit_failpoint = hit
    offline_table.LEAST_FILES = 4  # so that there is something to merge at every few runs
    home = view_folder(root, VIEW)
    faults: list[str] = []
    while not enough.is_set():
        step.value = 0
        try:
            jobs = FileJobs(home, VIEW, quiet_s=0)
            done = maintain(FileChains(home, VIEW), DeltaHistory(home, VIEW), LIMITS, clock=time.time, jobs=jobs)
            faults += done.faults
        except UndertowError as error:  # `undertow maintain --every` tells it and goes on
            faults.append(str(error))
    told.put(faults)
