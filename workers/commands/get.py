"""`undertow get`: look up one embedding as a reader of the feature store does.

In: settings, a service's name, keys as text. Out: text. Knows nothing of models.
"""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import numpy as np

from undertow.adapters.feast_lookup import get
from undertow.core.errors import Refused, WrongUsage
from undertow.core.readable import readable
from undertow.schemas.wording import counted
from undertow.settings.settings import Settings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHOLE_SECONDS = " (to the second: Feast reads no more from SQLite; the offline log has all of it)"


def look_up(settings: Settings, name: str, keys: Collection[str], *, as_json: bool) -> str:
    """Return the newest embedding of one series as text. `keys` are `id=value`. Raises `Refused` if there is none."""
    pairs = [key.partition("=") for key in keys]
    if wrong := [before for before, separator, _ in pairs if not separator]:
        message = f"keys are written as id=value, for example wearer=s08; found {wrong[0]!r}"
        raise WrongUsage(message)
    wanted = {before: value for before, _, value in pairs}
    if len(wanted) < len(pairs):
        message = f"expected each id once, found {readable(' '.join(keys))}"
        raise WrongUsage(message)
    found = get(settings.feast, name, wanted)
    if found is None:
        message = f"{name} has no embedding of {readable(' '.join(keys))}: nothing was written online for this series"
        raise Refused(message)
    precision = "microseconds" if found.has_fraction else "seconds"
    at = (EPOCH + timedelta(microseconds=found.event_us)).isoformat(timespec=precision)
    if as_json:
        features = {feature: vector.tolist() for feature, vector in sorted(found.features.items())}
        return json.dumps({"view": found.view, "space": found.space, "event_timestamp": at, "features": features})
    lines = [f"view   {readable(found.view)}", f"event  {at}{'' if found.has_fraction else WHOLE_SECONDS}"]
    for feature, vector in sorted(found.features.items()):  # Feast's order varies
        head = " ".join(f"{number:+.4f}" for number in vector[:6])
        lines.append(
            f"{readable(feature)}  {counted(len(vector), 'dimension')}, norm {np.linalg.norm(vector):.4f}: {head} ..."
        )
    return "\n".join(lines)
