"""Look up one embedding as any reader of the feature store does.

In: `FeastSettings`, a name, ids. Out: `StoredEmbedding`. Knows no model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.adapters.feast_registry import is_ours
from undertow.adapters.feast_store import open_store, secrets_of
from undertow.core.errors import Refused, Unavailable, WrongUsage
from undertow.core.masking import without
from undertow.settings.sections import FeastSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredEmbedding:
    """One embedding as a reader of the feature store sees it."""

    view: str
    space: str
    event_us: int
    """Microseconds since the epoch, UTC."""
    has_fraction: bool
    """Whether the store returns fractions of seconds: Feast's reader of SQLite does not."""
    features: Mapping[str, NDArray[np.float32]]


def get(feast: FeastSettings, name: str, keys: Mapping[str, str | int]) -> StoredEmbedding | None:
    """Look up one series as any reader of Feast does; None where there is none.

    `name` is a service, which gives the promoted space, or the view of a space, promoted or not.
    """
    store = open_store(feast)
    services = {service.name: service for service in store.list_feature_services()}
    views = {view.name: view for view in store.list_feature_views()}
    service = services.get(name)
    names = [projection.name for projection in service.feature_view_projections] if service else [name]
    ours = [views[one] for one in names if one in views and is_ours(views[one])]
    if not service and not ours and name not in {view.name for view in store.list_all_feature_views()}:
        known = ", ".join(name for name in sorted(services) if _is_ours_alone(services[name], views)) or "none"
        message = f"Feast ({feast.repo / feast.config}) serves no {name!r}, but: {known}; run: undertow apply"
        raise Refused(message)
    if len(ours) != 1 or len(names) != 1:
        message = (
            f"expected {name!r} to be one view of embeddings, found {', '.join(names)}, of which undertow applied "
            f"{', '.join(view.name for view in ours) or 'none'}; ask Feast itself (get_online_features), or undertow "
            "get for one of its own"
        )
        raise Refused(message)
    (view,) = ours
    features = service or [f"{view.name}:{feature.name}" for feature in view.features]
    row = _typed({column.name: column.dtype.to_value_type().name for column in view.entity_columns}, keys)
    try:
        response = store.get_online_features(features=features, entity_rows=[row]).proto
    except Exception as error:  # noqa: BLE001  the stores that Feast can be configured with have no error in common
        where = f"the online store of {feast.repo / feast.config} ({store.config.online_store.type})"
        message = f"{where} does not answer: {type(error).__name__}: {without(str(error), secrets_of(feast))}"
        raise Unavailable(message) from None
    # Feast's Redis store reports a missing series as PRESENT, without a value and with a time of 1970.
    found = {
        feature: (vector.values[0], vector.event_timestamps[0])
        for feature, vector in zip(response.metadata.feature_names.val, response.results, strict=True)
        if feature not in row and vector.values[0].WhichOneof("val")
    }
    if not found:
        return None
    return StoredEmbedding(
        view=view.name,
        space=view.tags["space"],
        event_us=next(iter(found.values()))[1].ToMicroseconds(),
        has_fraction=store.config.online_store.type != "sqlite",
        features={feature: np.array(value.float_list_val.val, np.float32) for feature, (value, _) in found.items()},
    )


def _typed(types: Mapping[str, str], keys: Mapping[str, str | int]) -> dict[str, str | int]:
    """Give each id the type of its join key: a command line knows only text."""
    if types.keys() != keys.keys():
        message = f"expected the ids {', '.join(types)}; found {', '.join(keys) or 'none'}"
        raise WrongUsage(message)
    row: dict[str, str | int] = {}
    for name, kind in types.items():
        try:
            row[name] = int(keys[name]) if kind == "INT64" else str(keys[name])
        except ValueError as error:
            message = f"the id {name} is an integer; found {keys[name]!r}"
            raise WrongUsage(message) from error
    return row


def _is_ours_alone(service: Any, views: Mapping[str, Any]) -> bool:
    names = [projection.name for projection in service.feature_view_projections]
    return len(names) == 1 and names[0] in views and is_ours(views[names[0]])
