"""Read the event times of vectors in the online store, as any reader of Feast does.

In: `FeastSettings`, a view, ids. Out: event times. Knows no store.
"""

from collections.abc import Mapping, Sequence

from undertow.adapters.feast_store import open_store, secrets_of
from undertow.core.errors import Unavailable
from undertow.core.masking import without
from undertow.schemas.spaces import SpaceView
from undertow.settings.sections import FeastSettings


def online_times(feast: FeastSettings, view: SpaceView, series: Sequence[Mapping[str, str | int]]) -> list[int | None]:
    """Return the event time of each series in seconds since the epoch, None where the store has none of it.

    Whole seconds, which all stores return. Raises `Unavailable`.
    """
    store = open_store(feast)
    feature = f"{view.view}:{view.features[0][0]}"
    try:
        response = store.get_online_features(features=[feature], entity_rows=[dict(ids) for ids in series]).proto
    except Exception as error:  # noqa: BLE001  the stores that Feast can be configured with have no error in common
        where = f"the online store of {feast.repo / feast.config} ({store.config.online_store.type})"
        message = f"{where} does not answer: {type(error).__name__}: {without(str(error), secrets_of(feast))}"
        raise Unavailable(message) from None
    column = response.results[list(response.metadata.feature_names.val).index(view.features[0][0])]
    # Feast's Redis store reports a missing series as PRESENT, without a value and with a time of 1970.
    return [
        time.seconds if value.WhichOneof("val") else None
        for value, time in zip(column.values, column.event_timestamps, strict=True)
    ]
