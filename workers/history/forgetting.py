"""Run `undertow forget`: find a name's views, say what is there of some series, ask, and delete it.

In: settings, and what was typed. Out: lines, and whether nothing is left. Knows no step of forgetting: see `forget`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from undertow.adapters.feast_registry import HeldView, held_views
from undertow.adapters.feast_repo import online_recipe
from undertow.adapters.offline_forget import ForgetHistory
from undertow.adapters.offline_found import FoundRows, Place
from undertow.adapters.offline_names import DELTA
from undertow.adapters.offline_root import read_nonce, read_owner, view_folder
from undertow.adapters.offline_wanted import WantedSeries
from undertow.core.durations import show_duration
from undertow.core.errors import Refused, WrongUsage
from undertow.history.forget import LIVE, Forgotten, forget
from undertow.history.forget_observed import ForgottenObservations, HeldObservations, IsAlive
from undertow.history.maintain import VACUUM_S
from undertow.history.series_ids import parse_series
from undertow.schemas.spaces import SpaceView
from undertow.schemas.times import format_time
from undertow.schemas.windows import Values
from undertow.schemas.wording import counted
from undertow.settings.settings import Settings
from undertow.storage.store_path import AnyPath
from undertow.wiring.stores import OnlineSeries, open_series

WORDS: Mapping[Place, str] = {
    "table": "in the table",
    "tail": "in parts of chains",
    "folded": "in parts that the table has too",
    "backfills": "in backfills",
    "replaced": "in replaced files",
}
EXAMPLES = 5
OUT_OF_REACH = (
    "out of reach: records in Kafka and its dead letters until their retention ends, rows that a running fleet has not "
    "yet written, whatever is sent from now on, and copies and backups that others made"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed."""

    name: str
    """Of an artifact, for all its spaces, or of one view."""
    series: tuple[str, ...] = ()
    file: Path | None = None
    is_dry: bool = False
    is_sure: bool = False
    is_now: bool = False
    skips_online: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Target:
    """One view, and what it has of the series."""

    view: SpaceView
    wanted: WantedSeries
    history: ForgetHistory | None
    found: FoundRows
    online: OnlineSeries | None
    held: int
    """How many of the series are online."""
    observed: HeldObservations | None
    snapshots: int
    """How many snapshots of observations hold any of them."""

    @property
    def columns(self) -> dict[str, Values]:
        return self.wanted.columns_of(self.view)

    @property
    def has_any(self) -> bool:
        return bool(self.found.files or self.held or self.snapshots)


def run(
    settings: Settings,
    asked: Asked,
    say: Callable[[str], None],
    ask: Callable[[str], bool] | None,
    *,
    is_alive: IsAlive,
) -> bool:
    """Forget; return whether nothing is left. `ask` is None where nobody can be asked. Raises `UndertowError`."""
    if not asked.series and asked.file is None:
        message = "expected the series to forget: --series ID=VALUE, or --series-file FILE"
        raise WrongUsage(message)
    views = _views(settings, asked)
    wanted = WantedSeries(ids=parse_series(asked.series, views[0].series, file=asked.file))
    if not len(wanted.ids):
        message = f"{asked.file} has no row: expected the ids of series to forget"
        raise Refused(message)
    targets = [_look(settings, asked, view, wanted) for view in views]
    for target in targets:
        for line in _found_lines(target):
            say(line)
    has_any = any(target.has_any for target in targets)
    if asked.is_dry:
        say(OUT_OF_REACH)
        return not any(target.found.faults for target in targets)
    if has_any and not asked.is_sure and not _may(ask):
        say("nothing was deleted")
        return False
    readers_s = max(settings.offline.grace_seconds, VACUUM_S)
    if asked.is_now and has_any:
        say("readers that are open now, of the table's older versions, find their files gone and begin again, or fail")
    done = [_forget(target, asked, readers_s) for target in targets]
    for target, one in zip(targets, done, strict=True):
        for line in _done_lines(target, one):
            say(line)
    held = [_forget_observed(target, say, is_alive) for target in targets]
    say(OUT_OF_REACH)
    return all(one.is_done for one in done) and not any(one.unanswered for one in held)


def _may(ask: Callable[[str], bool] | None) -> bool:
    if ask is None:
        message = (
            "nobody can be asked here, and nothing was deleted: --yes deletes all this for ever, --dry-run shows it"
        )
        raise Refused(message)
    return ask("Delete all this for ever?")


def _views(settings: Settings, asked: Asked) -> list[SpaceView]:
    """Return the views of a name, registered with Feast or in the log. Raises `Refused` where there is none."""
    held = {} if asked.skips_online else held_views(settings.feast)
    _require_logs(settings, asked, held)
    found = {name: _as_view(name, one) for name, one in held.items()}
    for view in _owners(settings):
        found.setdefault(view.view, view)
    views = [view for _, view in sorted(found.items()) if asked.name in (view.name, view.view)]
    if not views:
        known = ", ".join(sorted({view.name for view in found.values()})) or "none"
        message = f"neither Feast nor the offline log in {settings.offline.path} has {asked.name!r}, but: {known}"
        raise Refused(message)
    if any({*view.series} != {*views[0].series} for view in views):
        ids = "; ".join(
            f"{view.view}: {', '.join(f'{one.name} ({one.type})' for one in view.series)}" for view in views
        )
        message = f"the spaces of {asked.name} name their series by different ids, so name one of the views: {ids}"
        raise Refused(message)
    return views


def _as_view(name: str, held: HeldView) -> SpaceView:
    features = tuple((feature, 0) for feature in held.features)
    return SpaceView(name=name.rpartition("__")[0], space=held.space, series=held.series, features=features)


def _owners(settings: Settings) -> Iterator[SpaceView]:
    root = settings.offline.path.absolute()
    folders: list[AnyPath] = [*root.glob("*")]
    for folder in sorted(folders):
        if folder.name != DELTA and folder.is_dir() and (owner := read_owner(folder)) is not None:
            yield owner


def _require_logs(settings: Settings, asked: Asked, held: Mapping[str, HeldView]) -> None:
    """Raise `Refused` where a view was applied with another log than is there now: its disk may not be mounted."""
    root = settings.offline.path.absolute()
    nonce = read_nonce(root)
    for name, view in held.items():
        if asked.name in (name, name.rpartition("__")[0]) and view.log not in ("", nonce):
            seen = f"another one ({nonce[:8]})" if nonce else "none"
            message = (
                f"expected at {root} (offline.path) the offline log {view.log[:8]}, with which {name} was applied, "
                f"found {seen}: mount its disk, or set offline.path"
            )
            raise Refused(message)


def _look(settings: Settings, asked: Asked, view: SpaceView, wanted: WantedSeries) -> _Target:
    home = view_folder(settings.offline.path.absolute(), view)
    history = ForgetHistory(home, view, wanted, clock=time.time) if home.is_dir() else None
    found = FoundRows() if history is None else history.find()
    owner = read_owner(home)
    columns = wanted.columns_of(view if owner is None else owner)  # in the order by which keys were made
    observed = HeldObservations(home, columns) if home.is_dir() else None
    target = _Target(
        view=view,
        wanted=wanted,
        history=history,
        found=found,
        online=None,
        held=0,
        observed=observed,
        snapshots=0 if observed is None else observed.count(),
    )
    if asked.skips_online or not view.features:  # the log has it, and Feast no more: it has no values there
        return target
    online = open_series(online_recipe(settings.feast, view), [name for name, _ in view.features])
    with closing(online):
        return replace(target, online=online, held=online.count(target.columns))


def _forget(target: _Target, asked: Asked, readers_s: float) -> Forgotten:
    online = target.online
    if online is None:
        return forget(target.history, target.found, None, readers_s=readers_s, is_now=asked.is_now)
    with closing(online):
        return forget(
            target.history,
            target.found,
            lambda: online.forget(target.columns),
            readers_s=readers_s,
            is_now=asked.is_now,
        )


def _forget_observed(target: _Target, say: Callable[[str], None], is_alive: IsAlive) -> ForgottenObservations:
    if target.observed is None or not target.observed.partitions:
        return ForgottenObservations()
    name = target.view.view
    waits = f"{name}: a fleet runs, which may hold observations: waiting until it lets go of these series"
    done = target.observed.forget(is_alive, lambda: say(waits))
    if done.snapshots:
        say(f"{name}: rewritten {counted(done.snapshots, 'snapshot')} of observations")
    if done.unanswered:
        whose = ", ".join(map(str, done.unanswered))
        say(
            f"{name}: who reads {whose} has not said that it has let go: see that no partition is unread (undertow "
            "status), or drain the fleet, and run this again"
        )
    return done


def _found_lines(target: _Target) -> Iterator[str]:
    name, asked = target.view.view, len(target.wanted.ids)
    rows = _rows(target.found.rows(), "no row", (*LIVE, "replaced"))
    online = "online not looked at" if target.online is None else f"{target.held:,} of {asked:,} series online"
    snapshots = f"; {counted(target.snapshots, 'snapshot')} of observations" if target.snapshots else ""
    yield f"{name}: {rows}; {online}{snapshots}"
    series = [target.wanted.ids.slice(0, 0), *(file.ids for file in target.found.files)]
    there = pa.concat_tables(series).group_by(target.wanted.names).aggregate([])
    missing = target.wanted.ids.join(there, target.wanted.names, join_type="left anti")
    if len(missing) and target.history is not None:
        shown = "; ".join(
            ", ".join(f"{key}={value}" for key, value in row.items()) for row in missing.slice(0, EXAMPLES).to_pylist()
        )
        more = ", ..." if len(missing) > EXAMPLES else ""
        yield f"{name}: history has no row of {len(missing):,} of these {asked:,}: {shown}{more}"
    yield from _fault_lines(target, target.found.faults)


def _done_lines(target: _Target, done: Forgotten) -> Iterator[str]:
    name = target.view.view
    online = "online nothing was touched" if target.online is None else f"{done.online:,} series online"
    yield f"{name}: deleted {_rows(done.rows, 'no row', LIVE)}; {online}"
    if files := done.rows["replaced"]:
        yield f"{name}: deleted {counted(files, 'replaced file')} of the table"
    if done.gone_by_s is not None:
        at = format_time(int(done.gone_by_s) * 1_000_000)
        wait = show_duration(int(done.gone_by_s - time.time() + 60) // 60 * 60)
        yield (
            f"{name}: {done.left['replaced']:,} rows are left in files that the table has replaced, for readers of "
            f"older versions: the first undertow maintain after {at} (in {wait}) deletes them, --now at once"
        )
    if any(done.left[place] for place in LIVE):
        yield f"{name}: {_rows(done.left, '', LIVE)} came meanwhile: end whoever sends them, and run this again"
    yield from _fault_lines(target, done.faults)


def _fault_lines(target: _Target, faults: Sequence[str]) -> Iterator[str]:
    for fault in faults:
        yield f"{target.view.view}: could not be looked at: {fault}"


def _rows(rows: Counter[Place], none: str, places: Sequence[Place]) -> str:
    return ", ".join(f"{counted(rows[one], 'row')} {WORDS[one]}" for one in places if rows[one]) or none
