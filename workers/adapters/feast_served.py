"""What is served, by Feast's registry: of each of our names the spaces, and the promoted one.

In: `FeastSettings`. Out: a `Published`. Changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from undertow.adapters.feast_bytes import KEY_VERSION
from undertow.adapters.feast_registry import HeldView, held_views
from undertow.adapters.feast_store import open_store
from undertow.schemas.served import Served, ServedSpace
from undertow.settings.sections import FeastSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What is to stand beside the vectors."""

    options: Mapping[str, Any] = field(repr=False)
    """Feast's `online_store` section, a path made absolute; it may hold a password."""
    project: str
    served: Mapping[str, Served]
    """By name."""


def read_served(feast: FeastSettings) -> Published | None:
    """Read the registry; None where the store is none that `undertow.Reader` reads."""
    store = open_store(feast)
    config = store.config
    if config.online_store is None or config.entity_key_serialization_version != KEY_VERSION:
        return None
    options = config.online_store.model_dump(mode="json")
    if options["type"] not in {"redis", "sqlite", "postgres"}:
        return None
    if path := options.get("path"):
        options["path"] = str(feast.repo.resolve() / Path(path))
    from feast.infra.online_stores.helpers import compute_versioned_name  # noqa: PLC0415 - see `open_store`

    held = held_views(feast)
    is_numbered = config.registry.enable_online_feature_view_versioning
    found: dict[str, list[ServedSpace]] = {}
    for view in store.list_feature_views():
        if one := held.get(view.name):
            online = compute_versioned_name(view, is_numbered)
            found.setdefault(_stable_name(view.name), []).append(_space(view, one, online))
    return Published(
        options=options,
        project=config.project,
        served={name: _served(name, spaces, held) for name, spaces in found.items()},
    )


def _served(name: str, spaces: list[ServedSpace], held: Mapping[str, HeldView]) -> Served:
    promoted = next((one.view for one in spaces if name in held[one.view].services), "")
    return Served(name=name, promoted=promoted, spaces=tuple(sorted(spaces, key=lambda one: one.view)))


def _space(view: Any, held: HeldView, online: str) -> ServedSpace:
    return ServedSpace(
        view=view.name,
        online=online,
        space=held.space,
        series=held.series,
        features=tuple((feature.name, int(feature.vector_length)) for feature in view.features),
        ttl_seconds=held.ttl_seconds,
    )


def _stable_name(view: str) -> str:
    return view.rpartition("__")[0]
