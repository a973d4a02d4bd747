"""`undertow apply`: register artifacts with Feast, each with a ttl that was given, kept, or derived from its log.

In: settings. Out: entries in Feast's registry, and a line for each view about its ttl. Knows no broker.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import click

from undertow.adapters.feast_registry import HeldView, held_views
from undertow.adapters.feast_repo import forget, registered, registered_views
from undertow.adapters.offline_mend import accept_holes
from undertow.adapters.offline_root import read_nonce, require_unclaimed, view_folder
from undertow.artifact.format.manifest import read_manifest, read_weights
from undertow.commands.promotion import compare_with_served
from undertow.core.durations import joinable, show_duration
from undertow.core.errors import Refused
from undertow.history.cadence import ttl_of_log
from undertow.settings.settings import Settings
from undertow.telemetry.output import say
from undertow.wiring.stores import apply_artifact

NO_TTL = (
    "no ttl: Feast's point-in-time join pairs each row with all older ones of its series, which takes long where there "
    "are many"
)


def apply(
    settings: Settings,
    *,
    promote: bool = False,
    ttl_s: int | None = None,
    prune: bool = False,
    ask: bool = True,
    accept_lost: bool = False,
    say: Callable[[str], object],
) -> tuple[str, ...]:
    """Register all artifacts; return the names of all views that Feast knows then.

    `ttl_s`: the ttl of all views, 0 for none. Without it each view keeps the ttl with which it was applied or packed;
    if there was none, it is derived from the log.
    `prune`: delete the views of all other artifacts, after a question if `ask`.
    `accept_lost`: let chains of the log continue without parts that are lost.
    `say`: called with each line for the user.
    """
    ttls: dict[str, int] = {}
    lines: list[str] = []
    for path in settings.model.artifacts:  # readers must not be promised what no replica can load
        read_weights(path, read_manifest(path))
    for path in settings.model.artifacts:  # before a log is looked at by ids that are not its own
        require_unclaimed(settings.offline.path, read_manifest(path).view(), registered_views(settings.feast.repo))
    for view in [read_manifest(path).view() for path in settings.model.artifacts] if accept_lost else []:
        lines += accept_holes(view_folder(settings.offline.path, view), view)
    files, held = registered(settings.feast.repo), held_views(settings.feast)
    here = {read_manifest(path).view().view for path in settings.model.artifacts}
    known = {path.stem: data.get("ttl_seconds") for path, data in files.items()}
    known |= {name: view.ttl_seconds for name, view in held.items() if view.ttl_seconds is not None}
    logs = {path.stem: str(data.get("log", "")) for path, data in files.items()}
    logs |= {name: view.log for name, view in held.items()}
    for path in settings.model.artifacts:
        view = read_manifest(path).view()
        kept = known.get(view.view)
        kept = view.ttl_seconds if kept is None else kept
        if ttl_s is not None or kept is not None:
            chosen = ttl_s if ttl_s is not None else kept
            lines.append(f"{view.view}: " + (f"ttl {_show(chosen)}" if chosen else NO_TTL))
        else:
            log = view_folder(settings.offline.path, view)
            derived = ttl_of_log(log, view, read_memory_bytes=settings.offline.read_memory_bytes)
            chosen = derived.seconds if derived else None
            lines.append(
                f"{view.view}: ttl {_show(derived.seconds)}, {derived.reason}; after that Feast's joins find "
                "nothing (`undertow join` has no ttl); another: undertow apply --ttl 6h, none: --ttl 0"
                if derived
                else f"{view.view}: {NO_TTL}. Give one (--ttl 6h), or apply again after a backfill: it is then derived "
                "from the windows. `undertow join` needs none"
            )
        if chosen is not None:
            ttls[view.view] = joinable(chosen)
    if promote:
        for path in settings.model.artifacts:
            lines += compare_with_served(read_manifest(path).view(), held, settings.offline.path)
    pruned = _choose_pruned(held, here, ask=ask) if prune else ()
    names = apply_artifact(settings, promote=promote, ttls=ttls, pruned=pruned)
    forget(settings.feast.repo, pruned)
    lines += _changed_logs(settings, logs)
    lines += _others(names, held_views(settings.feast), here)
    for line in lines:
        say(line)
    return names


def _show(ttl_s: int) -> str:
    """Format a ttl, and how it is rounded for Feast."""
    taken, wanted = show_duration(joinable(ttl_s)), show_duration(ttl_s)
    return (
        taken
        if taken == wanted
        else f"{taken} ({wanted} rounded up: Feast's joins take less than a day, or whole days)"
    )


def _choose_pruned(held: Mapping[str, HeldView], here: Collection[str], *, ask: bool) -> tuple[str, ...]:
    """Return the registered views that belong to no artifact in `model.artifact`.

    Raises `Refused` if something of the user's own in Feast reads one of them, or if the user answers no.
    """
    found = {name: view for name, view in held.items() if name not in here}
    for name, view in found.items():
        served = name.removesuffix(f"__{view.space[:8]}")
        if own := [reader for reader in (*view.services, *view.on_demand) if reader != served]:
            message = f"{name} is read by {', '.join(own)}, which undertow did not apply: delete that from Feast first"
            raise Refused(message)
        says = f"served as {served}" if served in view.services else "not promoted"
        say(f"{name}: to be deleted from Feast, with its online vectors; {says}", err=True)
    if found and ask and not click.confirm("Delete? The offline log stays", err=True):
        message = "nothing was deleted, and nothing applied"
        raise Refused(message)
    return tuple(found)


def _others(names: Collection[str], held: Mapping[str, HeldView], here: Collection[str]) -> Iterator[str]:
    """Yield a line about views of other artifacts, which are kept."""
    others = [name for name in names if name in held and name not in here]
    readers = {name: ", ".join(held[name].services) for name in others}
    texts = [f"{name} (served as {readers[name]})" if readers[name] else name for name in sorted(others)]
    if texts:
        yield f"kept, of other artifacts: {', '.join(texts)}; undertow apply --prune deletes them all, after a question"


def _changed_logs(settings: Settings, before: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each view whose offline log is not the one with which it was applied before."""
    root, nonce = settings.offline.path.absolute(), read_nonce(settings.offline.path)
    for path in settings.model.artifacts:
        name = read_manifest(path).view().view
        if (old := before.get(name)) and old != nonce:
            yield (
                f"{name}: the offline log at {root} is {nonce[:8]}, another than {old[:8]} that it was applied with "
                "before: history is what lies there, and streams go on from there"
            )
