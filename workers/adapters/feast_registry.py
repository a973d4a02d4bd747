"""Read our views from Feast's registry, whichever checkout registered them.

In: `FeastSettings`. Out: `HeldView`s. Changes nothing.
"""

import textwrap
from dataclasses import dataclass, replace
from typing import Any

from undertow.adapters.feast_store import open_store, secrets_of
from undertow.core.errors import Unavailable, UndertowError
from undertow.core.masking import without
from undertow.schemas.contract import IdColumn, IdType
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldView:
    """One of our views, as registered."""

    series: tuple[IdColumn, ...]
    space: str
    log: str
    """The nonce of the offline log that it was applied with; empty where an earlier version applied it."""
    ttl_seconds: int | None
    """0 means for ever; None where none was given."""
    services: tuple[str, ...]
    """Services that read it: the one of its stable name where it is promoted, and the user's own."""
    on_demand: tuple[str, ...]
    """On-demand views that read it."""
    features: tuple[str, ...] = ()

    def as_view(self, wanted: SpaceView) -> SpaceView:
        """Return `wanted` with the space and the ids that the registry has for it."""
        return replace(wanted, series=self.series, space=self.space)


def is_ours(view: Any) -> bool:
    """Whether this Feast view is that of an embedding space."""
    return "space" in view.tags and view.name.endswith(f"__{view.tags['space'][:8]}")


def series_of(view: Any) -> tuple[IdColumn, ...]:
    """Return the ids (join keys) of a Feast view."""
    kinds: dict[str, IdType] = {
        column.name: "integer" if column.dtype.to_value_type().name == "INT64" else "string"
        for column in view.entity_columns
    }
    return tuple(IdColumn(name=name, type=kind) for name, kind in kinds.items())


def held_views(feast: FeastSettings) -> dict[str, HeldView]:
    """Return our views by their names. Raises `Unavailable` where the registry cannot be read."""
    try:
        store = open_store(feast)
        views = [view for view in store.list_feature_views() if is_ours(view)]
        services = {
            service.name: {one.name for one in service.feature_view_projections}
            for service in store.list_feature_services()
        }
        on_demand = {
            view.name: {one.name for one in view.source_feature_view_projections.values()}
            for view in store.list_on_demand_feature_views()
        }
    except UndertowError:
        raise
    except Exception as error:  # noqa: BLE001  the registries that Feast can be configured with have no error in common
        said = textwrap.shorten(without(str(error), secrets_of(feast)), 200)
        message = f"Feast's registry ({feast.repo / feast.config}) cannot be read: {type(error).__name__}: {said}"
        raise Unavailable(message) from None
    return {
        view.name: HeldView(
            series=series_of(view),
            space=view.tags["space"],
            log=view.tags.get("log", ""),
            ttl_seconds=_ttl(view),
            services=tuple(name for name, read in services.items() if view.name in read),
            on_demand=tuple(name for name, read in on_demand.items() if view.name in read),
            features=tuple(feature.name for feature in view.features),
        )
        for view in views
    }


def _ttl(view: Any) -> int | None:
    """Return the TTL from our tag, which earlier versions did not write: Feast does not tell none from for ever."""
    if given := view.tags.get("ttl_seconds"):
        return int(given)
    return int(view.ttl.total_seconds()) or None if view.ttl else None
