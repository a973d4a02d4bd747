"""Feast's definitions of the embedding spaces, one view for each JSON file in `spaces/`.

In: `spaces/<view>.json`, written by `undertow apply` (fields: `schemas.spaces.SpaceView`, and `offline`, `promoted`).
Out: entities, sources, views and services, which `feast apply` registers. It needs Feast alone, so that the stock
command works in any environment.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Array, Float32

FOLDER = Path(__file__).resolve().parent
VALUE_TYPES = {"string": ValueType.STRING, "integer": ValueType.INT64}


def read_spaces() -> list[dict[str, Any]]:
    """Read the spaces, in the order of their names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "spaces").glob("*.json"))]


def declare_entities(spaces: list[dict[str, Any]]) -> dict[tuple[str, str], Entity]:
    """Declare one entity for each id column and its type; spaces share it."""
    columns = sorted({(column["name"], column["type"]) for space in spaces for column in space["series"]})
    return {
        (name, kind): Entity(name=f"{name}__{kind}", join_keys=[name], value_type=VALUE_TYPES[kind])
        for name, kind in columns
    }


def declare_view(space: dict[str, Any], entities: dict[tuple[str, str], Entity]) -> FeatureView:
    """Declare the view of one space over its folder of Parquet parts."""
    name = f"{space['name']}__{space['space'][:8]}"
    offline = space["offline"]
    return FeatureView(
        name=name,
        description=space["description"],
        entities=[entities[column["name"], column["type"]] for column in space["series"]],
        schema=[
            Field(name=feature, dtype=Array(Float32), vector_length=size, tags=declare_tags(space, feature))
            for feature, size in space["features"]
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
        tags={"space": space["space"], "log": space.get("log", "")},
    )


def declare_tags(space: dict[str, Any], feature: str) -> dict[str, str]:
    """Declare what people should know of a feature's numbers: Feast's tags are texts, so the rest is JSON."""
    facts = space.get("facts", {}).get(feature, {})
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def declare_services(spaces: list[dict[str, Any]], views: list[FeatureView]) -> list[FeatureService]:
    """Declare the stable name that readers use, for each promoted space."""
    served: dict[str, FeatureView] = {}
    for space, view in zip(spaces, views, strict=True):
        if space["promoted"]:
            if space["name"] in served:
                message = (
                    f"{served[space['name']].name} and {view.name} are both promoted; run: undertow apply --promote"
                )
                raise ValueError(message)
            served[space["name"]] = view
    return [FeatureService(name=name, features=[view]) for name, view in served.items()]


def declare() -> dict[str, Any]:
    """Declare everything, by a name that is unique in this module: Feast finds objects by module attribute."""
    spaces = read_spaces()
    entities = declare_entities(spaces)
    views = [declare_view(space, entities) for space in spaces]
    services = declare_services(spaces, views)
    return {
        **{f"entity_{entity.name}": entity for entity in entities.values()},
        **{f"source_{view.name}": view.batch_source for view in views},
        **{f"view_{view.name}": view for view in views},
        **{f"service_{service.name}": service for service in services},
    }


globals().update(declare())
