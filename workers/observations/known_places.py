"""What is known ahead, looked up again and again, for other series each time.

In: what is known, of all. Out: the same, by the numbers of some series. Knows no observation.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from undertow.observations.side_tables import KnownAhead
from undertow.schemas.windows import Values


class KnownPlaces:
    """Finds what is known of series by their ids, of which `KnownAhead` has only numbers."""

    def __init__(self, known: KnownAhead) -> None:
        """Read the ids once."""
        self._known = known
        columns = [column.tolist() for column in known.ids.values()]
        self._place_of = {key: place for place, key in enumerate(zip(*columns, strict=True))}

    def of(self, ids: Mapping[str, Values]) -> KnownAhead:
        """Return what is known, findable by the numbers of these series."""
        if not self._known.ids:  # it is so for all
            return replace(self._known, place_of=np.zeros(len(next(iter(ids.values()))), np.int64))
        wanted = zip(*(ids[name].tolist() for name in self._known.ids), strict=True)
        return replace(self._known, place_of=np.array([self._place_of.get(key, -1) for key in wanted], np.int64))
