"""Feature stores by their settings: registering artifacts, and connecting to where the newest vectors lie.

In: settings, or the recipe of an online store. Out: what Feast has registered; a sink. Knows no broker, so `apply` and
`rebuild` need no client of one.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from undertow.adapters.feast_registry import held_views
from undertow.adapters.feast_repo import OnlineRecipe, apply, register, registered_views
from undertow.adapters.feast_served import read_served
from undertow.adapters.offline_root import claim_folder, make_log
from undertow.adapters.online_feast import FeastOnline
from undertow.adapters.online_redis import RedisOnline
from undertow.adapters.online_sqlite import SqliteOnline
from undertow.adapters.redis_served import write_redis_served
from undertow.adapters.sqlite_served import write_sqlite_served
from undertow.artifact.format.manifest import read_manifest
from undertow.core.errors import Refused, Unavailable
from undertow.core.identity import refuse_another
from undertow.schemas.windows import Values
from undertow.settings.sections import FeastSettings
from undertow.settings.settings import Settings
from undertow.stream.ports import OnlineSink
from undertow.stream.store_tally import OnLoss
from undertow.telemetry.logs import say

if TYPE_CHECKING:  # an optional extra
    from undertow.adapters.online_postgres import PostgresOnline

log = logging.getLogger(__name__)

TALLIED = ("redis", "sqlite", "postgres")
"""Types of stores with a writer of ours, which notices lost data and deletes single series."""


def apply_artifact(
    settings: Settings,
    *,
    promote: bool = False,
    ttls: Mapping[str, int] = MappingProxyType({}),
    pruned: Collection[str] = (),
) -> tuple[str, ...]:
    """Register each artifact's space with Feast; return what is registered now. Needs no broker.

    The first space of a name is served to its readers at once, a later one only with `promote`. `ttls` are
    seconds by view: see `register`. Spaces that others have registered stay, but for the views in `pruned`.
    """
    views = [read_manifest(path).view() for path in settings.model.artifacts]
    if promote and len({view.name for view in views}) < len(views):
        message = (
            f"of one name only one space can be promoted, found {', '.join(view.view for view in views)}; say which: "
            f"--promote --set model.artifact={settings.model.artifacts[-1]}"
        )
        raise Refused(message)
    held = held_views(settings.feast)
    for view in views:
        if there := held.get(view.view):
            refuse_another(view, there.as_view(view), where=f"Feast ({settings.feast.repo / settings.feast.config})")
    history, known = make_log(settings.offline.path), registered_views(settings.feast.repo)
    for view in views:
        folder = claim_folder(history.root, view, registered=known)
        register(settings.feast.repo, view, folder, promote=promote, log=history.nonce, ttl_s=ttls.get(view.view))
    names = apply(settings.feast, {view.view: promote for view in views}, pruned=pruned)
    try:
        publish_served(settings.feast)
    except (Unavailable, Refused) as error:
        text = (
            f"registered, but undertow.Reader does not see it yet, and goes on with what it knew: {error}; run "
            "undertow apply again, or start the fleet"
        )
        say(log, logging.WARNING, "served-unpublished", text)
    return names


def publish_served(feast: FeastSettings) -> None:
    """Write beside the vectors what Feast's registry says is served, for `undertow.Reader`.

    Raises `Unavailable` where the store does not take it. Of two that publish at once, the last one to write has read
    the registry after writing, and found there what it has written.
    """
    published = read_served(feast)
    while published is not None:
        records = {name: served.to_text() for name, served in published.served.items()}
        if published.options["type"] == "redis":
            write_redis_served(published.options, published.project, records)
        elif published.options["type"] == "postgres":
            from undertow.adapters.postgres_served import write_postgres_served  # noqa: PLC0415  an optional extra

            write_postgres_served(published.options, published.project, records)
        else:
            write_sqlite_served(Path(published.options["path"]), published.project, records)
        before, published = published, read_served(feast)
        if published == before:
            return


def open_online(recipe: OnlineRecipe, on_loss: OnLoss | None = None) -> OnlineSink:
    """Connect to the online store that Feast's configuration names; `on_loss` is called where it has lost data."""
    if recipe.type in TALLIED:
        return open_tallied(recipe, on_loss)
    return FeastOnline(repo_config=recipe.repo_config, repo=recipe.repo, definition=recipe.definition)


def open_tallied(recipe: OnlineRecipe, on_loss: OnLoss | None = None) -> "RedisOnline | SqliteOnline | PostgresOnline":
    """Connect to a store that has a tally, by which lost data is detected."""
    if recipe.type == "postgres":
        from undertow.adapters.online_postgres import PostgresOnline  # noqa: PLC0415  an optional extra

        return PostgresOnline(
            options=recipe.options,
            project=recipe.project,
            view=recipe.view,
            searched=recipe.searched,
            on_loss=on_loss,
        )
    if recipe.type == "redis":
        return RedisOnline(
            options=recipe.options,
            project=recipe.project,
            view=recipe.view,
            replace_alien_keys=recipe.replace_alien_keys,
            on_loss=on_loss,
        )
    path = Path(recipe.options["path"])
    return SqliteOnline(path=path, project=recipe.project, view=recipe.view, on_loss=on_loss)


class OnlineSeries:
    """Values of series in an online store that can delete them."""

    def __init__(self, store: "RedisOnline | SqliteOnline | PostgresOnline", features: Sequence[str]) -> None:
        """Take ownership of the store; `features` are the view's."""
        self._store, self._features = store, features

    def count(self, series: Mapping[str, Values]) -> int:
        """Return how many of these series have values. Raises `Refused`, `Unavailable`."""
        if isinstance(self._store, RedisOnline):
            return self._store.count_held(series, self._features)
        return self._store.count_held(series)

    def forget(self, series: Mapping[str, Values]) -> int:
        """Delete their values; return how many had any. Raises `Refused`, `Unavailable`; may be called again."""
        if isinstance(self._store, RedisOnline):
            return self._store.forget(series, self._features)
        return self._store.forget(series)

    def close(self) -> None:
        """Let go; the next call opens it again."""
        self._store.close()


def open_series(recipe: OnlineRecipe, features: Sequence[str]) -> OnlineSeries:
    """Open the online store to delete series from. Raises `Refused` for one that cannot."""
    if recipe.type not in TALLIED:
        message = (
            f"Feast has no way to delete single series from an online store of type {recipe.type}: delete the values "
            f"of view {recipe.view} there by its own client, and run this again with --skip-online for the offline log"
        )
        raise Refused(message)
    return OnlineSeries(open_tallied(recipe), features)


def check_online(recipe: OnlineRecipe) -> None:
    """Raise `Unavailable` or `Refused` where the online store cannot be written now."""
    sink = open_online(recipe)
    try:
        sink.check()
    finally:
        sink.close()
