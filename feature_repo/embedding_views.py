"""Feast's definitions of the embedding spaces: those that the registry holds, and those that `spaces/` adds.

In: Feast's registry; `spaces/<view>.json`, written by `undertow apply` (fields: `undertow.schemas.spaces.SpaceView`,
and `offline`, `promoted`). Out: entities, sources, views and services, which `feast apply` registers. It needs Feast
alone, so that the stock command works in any environment.

`feast apply` deletes whatever it is not given, and several checkouts may share a registry: so what the registry holds
of ours stays as it is, and a file in `spaces/` counts where the registry has no such view. What is registered is
changed by `undertow apply`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Array, Float32
from feast.utils import get_default_yaml_file_path
from registry_lock import registry_lock

FOLDER = Path(__file__).resolve().parent
VALUE_TYPES = {"string": ValueType.STRING, "integer": ValueType.INT64}


@dataclass(frozen=True)
class Registered:
    """Our definitions in the registry, by name."""

    entities: Mapping[str, Entity] = field(default_factory=dict)
    views: Mapping[str, FeatureView] = field(default_factory=dict)
    services: Mapping[str, FeatureService] = field(default_factory=dict)
    is_searched: bool = False
    """Whether the online store searches vectors, of one feature of each view."""


def find_config() -> Path:
    """Return the configuration given to Feast's command, or else its default."""
    context = click.get_current_context(silent=True)
    given = context.obj.get("FS_YAML_FILE") if context and isinstance(context.obj, dict) else None
    return Path(given or get_default_yaml_file_path(FOLDER))


def read_registered(store: FeatureStore) -> Registered:
    """Read our views back, with their entities and the services that promote them; whatever else there is, is not ours.

    A view is ours by its tag `space` and its name. A service is ours if it bears the stable name of the one view that
    it serves.
    """
    views = {view.name: view for view in store.list_feature_views() if is_ours(view)}
    services = {
        service.name: service
        for service in store.list_feature_services()
        if [f"{service.name}__"] == [one.name[:-8] for one in service.feature_view_projections]
        and service.feature_view_projections[0].name in views
    }
    names = {name for view in views.values() for name in view.entities}
    return Registered(
        entities={entity.name: entity for entity in store.list_entities() if entity.name in names},
        views=views,
        services=services,
        is_searched=store.config.online_store.type == "postgres" and store.config.online_store.vector_enabled,
    )


def is_ours(view: FeatureView) -> bool:
    """Whether this is the view of an embedding space."""
    return "space" in view.tags and view.name.endswith(f"__{view.tags['space'][:8]}")


def read_spaces() -> list[dict[str, Any]]:
    """Read the spaces, in the order of their names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "spaces").glob("*.json"))]


def view_name(space: Mapping[str, Any]) -> str:
    """Return the name of the view of one space."""
    return f"{space['name']}__{space['space'][:8]}"


def declare_entities(spaces: list[dict[str, Any]]) -> dict[tuple[str, str], Entity]:
    """Declare one entity for each id column and its type; spaces share it."""
    columns = sorted({(column["name"], column["type"]) for space in spaces for column in space["series"]})
    return {
        (name, kind): Entity(name=f"{name}__{kind}", join_keys=[name], value_type=VALUE_TYPES[kind])
        for name, kind in columns
    }


def declare_view(
    space: dict[str, Any], entities: dict[tuple[str, str], Entity], *, is_searched: bool = False
) -> FeatureView:
    """Declare the view of one space over its folder of Parquet parts.

    Where the store searches, it searches the first feature: Feast knows one field with an index in a view. Which metric
    is left to whoever asks.
    """
    name = view_name(space)
    offline = space["offline"]
    return FeatureView(
        name=name,
        description=space["description"],
        entities=[entities[column["name"], column["type"]] for column in space["series"]],
        schema=[
            Field(
                name=feature,
                dtype=Array(Float32),
                vector_length=size,
                vector_index=is_searched and place == 0,
                tags=declare_tags(space, feature),
            )
            for place, (feature, size) in enumerate(space["features"])
        ],
        source=FileSource(
            name=f"{name}__offline",
            path=offline if "://" in offline else str((FOLDER / offline).resolve()),  # DuckDB takes the caller's folder
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
        online=True,
        ttl=timedelta(seconds=space.get("ttl_seconds") or 0),  # 0 is for ever
        tags={"space": space["space"], "log": space.get("log", ""), **declare_ttl(space)},
    )


def declare_ttl(space: Mapping[str, Any]) -> dict[str, str]:
    """Declare that a ttl was decided on: Feast's own 0 means either none or not decided."""
    return {} if (ttl := space.get("ttl_seconds")) is None else {"ttl_seconds": str(ttl)}


def declare_tags(space: dict[str, Any], feature: str) -> dict[str, str]:
    """Declare facts about a feature for users: Feast's tags are texts, so other values become JSON."""
    facts = space.get("facts", {}).get(feature, {})
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def declare_services(spaces: list[dict[str, Any]], views: Mapping[str, FeatureView]) -> dict[str, FeatureService]:
    """Declare the stable name that readers use, for each promoted space."""
    served: dict[str, str] = {}
    for space in spaces:
        if space["promoted"]:
            if other := served.get(space["name"]):
                message = f"{other} and {view_name(space)} are both promoted; run: undertow apply --promote"
                raise ValueError(message)
            served[space["name"]] = view_name(space)
    return {name: FeatureService(name=name, features=[views[view]]) for name, view in served.items()}


def declare(spaces: list[dict[str, Any]], held: Registered, applied: Mapping[str, bool] | None = None) -> Registered:
    """Declare everything: what the registry holds, as it is there, and the spaces that it lacks.

    `applied` are views that are declared anew whatever the registry holds, each with whether it is promoted.
    """
    applied = applied or {}
    new = [space for space in spaces if view_name(space) in applied or view_name(space) not in held.views]
    entities = declare_entities(new)
    views = {view_name(space): declare_view(space, entities, is_searched=held.is_searched) for space in new}
    given = {space["name"] for space in new if applied.get(view_name(space))}
    promoted = [
        {
            **space,
            "promoted": applied.get(view_name(space), False)
            if space["name"] in given
            else space["promoted"] and space["name"] not in held.services,
        }
        for space in new
    ]
    return Registered(
        entities={**held.entities, **{entity.name: entity for entity in entities.values()}},
        views={**held.views, **views},
        services={**held.services, **declare_services(promoted, views)},
    )


def by_attribute(declared: Registered) -> dict[str, Any]:
    """Return everything by a name that is unique in this module: Feast finds objects by module attribute."""
    return {
        **{f"entity_{name}": entity for name, entity in declared.entities.items()},
        **{f"source_{name}": view.batch_source for name, view in declared.views.items()},
        **{f"view_{name}": view for name, view in declared.views.items()},
        **{f"service_{name}": service for name, service in declared.services.items()},
    }


def read_or_lock() -> Registered:
    """Read what is registered; where `feast apply` is about to write it, nobody else does before the command ends."""
    config, context = find_config(), click.get_current_context(silent=True)
    if not config.is_file():
        return Registered()
    store = FeatureStore(repo_path=str(FOLDER), fs_yaml_file=config)
    if context and context.info_name == "apply" and isinstance(context.obj, dict):
        context.with_resource(registry_lock(store))
        store.refresh_registry()
    return read_registered(store)


globals().update(by_attribute(declare(read_spaces(), read_or_lock())))
