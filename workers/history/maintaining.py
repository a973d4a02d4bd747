"""Run `undertow maintain`: once for each artifact's view, or again and again.

In: settings. Out: a line for each view. Knows no rule of folding: see `maintain`.
"""

import time
from contextlib import nullcontext

from rich.console import Console

from undertow.adapters.offline_aside import set_aside as set_chains_aside
from undertow.adapters.offline_fold import FileChains
from undertow.adapters.offline_jobs import QUIET_S, FileJobs
from undertow.adapters.offline_root import require_own, view_folder
from undertow.adapters.offline_table import DeltaHistory
from undertow.artifact.format.manifest import read_manifest
from undertow.core.errors import Refused, UndertowError
from undertow.core.stop_signals import Stop, stop_signals
from undertow.history.maintain import Maintained, MaintainLimits, maintain
from undertow.schemas.spaces import SpaceView
from undertow.settings.log_sections import OfflineSettings
from undertow.settings.settings import Settings


def run(
    settings: Settings,
    console: Console,
    *,
    every_s: float | None,
    stop: Stop | None = None,
) -> None:
    """Maintain the views of all artifacts; with `every_s` again and again, with such a pause, until a signal.

    Raises `Refused` if anything was left undone; again and again it is told, and tried once more. `stop` stands for
    the signals.
    """
    views = [read_manifest(path).view() for path in settings.model.artifacts]
    for view in views:
        _require_log(settings.offline, view)
    if every_s is None:
        if faults := _run_all(settings.offline, views, console):
            raise Refused("; ".join(faults))
        return
    with stop_signals() if stop is None else nullcontext(stop) as told:
        while True:
            for fault in _run_all(settings.offline, views, console):
                console.print(f"left as it is, until the next time: {fault}", highlight=False)
            if told.wait(every_s):
                break
    console.print("told to end: what was folded stays, and the next run goes on", highlight=False)


def set_aside(settings: Settings, console: Console, topic_id: str) -> None:
    """Move the chains of `kafka.topic` that had this id aside, in the view of each artifact. Raises `Refused`."""
    for path in settings.model.artifacts:
        view = read_manifest(path).view()
        _require_log(settings.offline, view)
        home, topic = view_folder(settings.offline.path.absolute(), view), settings.kafka.topic
        is_moved = set_chains_aside(home, topic, topic_id)
        said = f"set aside as {topic}@{topic_id}" if is_moved else f"none of topic id {topic_id}; nothing was moved"
        console.print(f"{view.view}: chains of {topic}: {said}", highlight=False, soft_wrap=True)


def _run_all(offline: OfflineSettings, views: list[SpaceView], console: Console) -> list[str]:
    faults: list[str] = []
    for view in views:
        try:
            done = maintain_folder(offline, view)
        except UndertowError as error:
            done = Maintained(faults=(str(error),))
        else:
            console.print(f"{view.view}: {done}", highlight=False)
        faults += [f"{view.view}: {fault}" for fault in done.faults]
    return faults


def maintain_folder(offline: OfflineSettings, view: SpaceView) -> Maintained:
    """Maintain the view's folder once."""
    home = view_folder(offline.path.absolute(), view)
    limits = MaintainLimits(grace_seconds=offline.grace_seconds, keep_days=offline.keep_days)
    jobs = FileJobs(home, view, quiet_s=min(QUIET_S, offline.grace_seconds))
    return maintain(FileChains(home, view), DeltaHistory(home, view), limits, clock=time.time, jobs=jobs)


def _require_log(offline: OfflineSettings, view: SpaceView) -> None:
    home = view_folder(offline.path.absolute(), view)
    if not home.is_dir():
        message = (
            f"the offline log has nothing of {view.view}, expected at {home}: fill it with undertow run, or correct "
            "offline.path"
        )
        raise Refused(message)
    require_own(home, view)
