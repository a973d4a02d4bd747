"""`undertow apply`: artifacts made known to Feast, each with a ttl that was given, kept, or derived from its log.

In: settings. Out: Feast's registry, and a line for each view on how long its vectors count in Feast's joins. Knows no
broker.
"""

from collections.abc import Callable, Iterator, Mapping

from workers.adapters.feast_repo import registered, registered_views
from workers.adapters.offline_root import read_nonce, require_unclaimed, view_folder
from workers.artifact.manifest import read_manifest
from workers.core.durations import show_duration
from workers.history.cadence import ttl_of_log
from workers.settings import Settings
from workers.wiring import apply_artifact

NO_TTL = (
    "no ttl: Feast's point-in-time join pairs each row with all older ones of its series, which takes long where there "
    "are many"
)


def apply(
    settings: Settings, *, promote: bool = False, ttl_s: int | None = None, say: Callable[[str], object]
) -> tuple[str, ...]:
    """Register all artifacts; return the names of all views that Feast knows then.

    `ttl_s` is for all of them, 0 is none. Without it each keeps what it was applied or packed with; one that has
    neither gets what its log says. `say` is told of each.
    """
    ttls: dict[str, int] = {}
    lines = []
    before = {path.stem: data for path, data in registered(settings.feast.repo).items()}
    for path in settings.model.artifacts:  # before a log is looked at by ids that are not its own
        require_unclaimed(settings.offline.path, read_manifest(path).view(), registered_views(settings.feast.repo))
    known = {name: data.get("ttl_seconds") for name, data in before.items()}
    for path in settings.model.artifacts:
        view = read_manifest(path).view()
        kept = known.get(view.view)
        kept = view.ttl_seconds if kept is None else kept
        if ttl_s is not None or kept is not None:
            chosen = ttl_s if ttl_s is not None else kept
            lines.append(f"{view.view}: " + (f"ttl {show_duration(chosen)}" if chosen else NO_TTL))
        else:
            log = view_folder(settings.offline.path, view)
            derived = ttl_of_log(log, view, memory_bytes=settings.offline.read_memory_bytes)
            chosen = derived.seconds if derived else None
            lines.append(
                f"{view.view}: ttl {show_duration(derived.seconds)}, {derived.reason}; after that Feast's joins find "
                "nothing (`undertow join` has no ttl); another: undertow apply --ttl 6h, none: --ttl 0"
                if derived
                else f"{view.view}: {NO_TTL}. Give one (--ttl 6h), or apply again after a backfill: it is then derived "
                "from the windows. `undertow join` needs none"
            )
        if chosen is not None:
            ttls[view.view] = chosen
    names = apply_artifact(settings, promote=promote, ttls=ttls)
    lines += _changed_logs(settings, {name: str(data.get("log", "")) for name, data in before.items()})
    for line in lines:
        say(line)
    return names


def _changed_logs(settings: Settings, before: Mapping[str, str]) -> Iterator[str]:
    """Tell of each view whose history has begun anew: the log that it was applied with is not there any more."""
    root, nonce = settings.offline.path.absolute(), read_nonce(settings.offline.path)
    for path in settings.model.artifacts:
        name = read_manifest(path).view().view
        if (old := before.get(name)) and old != nonce:
            yield (
                f"{name}: the offline log at {root} is {nonce[:8]}, another than {old[:8]} that it was applied with "
                "before: history is what lies there, and streams go on from there"
            )
