"""Failpoints: places where a chaos run or a test stops, kills or slows a process, or fills its disk.

They are in a checkpoint, in a fold, and where series are forgotten.

In: files in the folder that UNDERTOW_FAILPOINTS names. Out: signals to this process, errors of a full disk.
Knows nothing of what the points mean. Without the variable, which is everywhere but in a chaos run, nothing happens.

A file named after a point contains an action and a count: `kill 3` kills the process that claims it when it reaches
the point for the third time, `stop 1` stops it at once. A process claims the file by renaming it, and names it
`<point>.<pid>` when it acts. `full 1` and `slow 3` (tenths of a second each time) stay until they are removed.
"""

import errno
import os
import signal
import time
from pathlib import Path

from undertow.core.publication import replace_file

FOLDER = "UNDERTOW_FAILPOINTS"
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
POINTS = ("before_online", "after_online", "before_write", "after_fsync", "after_link", "before_commit", "after_commit")
SNAPSHOT_POINTS = ("before_write_of_snapshot", "after_fsync_of_snapshot", "after_link_of_snapshot")
"""Those of who writes what it holds of observations; each is passed with the point of the same name without the end."""
FOLD_POINTS = (
    "after_fold_batch",
    "after_fold_footers",
    "after_fold_files",
    "after_fold_commit",
    "after_fold_note",
    "after_fold_delete",
    "after_fold_compaction",
)
"""Those of a maintainer, in their order; but for `after_fold_expiry`, which only some settings let it reach."""
FORGET_POINTS = (
    "after_forget_part",
    "after_forget_barrier",
    "after_forget_file",
    "after_forget_table",
    "after_forget_files",
    "after_forget_online",
)
"""Those of `undertow forget --now`, in their order."""

_pending: dict[str, tuple[str, int]] = {}  # claimed by this process: action, how often the point must still be reached


def hit_failpoint(point: str) -> None:
    """Perform the action of this point, if it is armed. Raises `OSError` where it simulates a full disk."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    if point not in _pending and not _claim(Path(folder), point):
        return
    action, left = _pending[point]
    if left > 1:
        _pending[point] = (action, left - 1)
        return
    del _pending[point]
    pid = os.getpid()
    (Path(folder) / f".{point}.{pid}").rename(Path(folder) / f"{point}.{pid}")
    os.kill(pid, SIGNALS[action])


def _claim(folder: Path, point: str) -> bool:
    """Claim the point's file for this process."""
    armed = folder / point
    try:
        action, count = armed.read_text().split()
        if action == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(armed))
        if action == "slow":
            time.sleep(int(count) / 10)
            return False
        armed.rename(folder / f".{point}.{os.getpid()}")
    except FileNotFoundError:
        return False
    _pending[point] = (action, int(count))
    return True


def arm(folder: Path, point: str, action: str, count: int = 1) -> None:
    """Arm a point: the first process to reach it claims it and acts the `count`-th time."""
    replace_file(folder / point, f"{action} {count}\n".encode())


def disarm(folder: Path, point: str) -> bool:
    """Remove an unclaimed point; return whether there was one."""
    try:
        (folder / point).unlink()
    except FileNotFoundError:
        return False
    return True
