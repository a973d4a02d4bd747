"""Find the places of series that a stream holds, by their ids; a series that is new gets one.

In: the ids of series, and the partition of each. Out: their places, and whether one is in a second partition. Knows no
observation.
"""

from collections.abc import Mapping

import numpy as np

from undertow.observations.held_series import HeldSeries
from undertow.observations.series_keys import Keys, digests_of, keys_in
from undertow.schemas.arrow_columns import Rows
from undertow.schemas.windows import Values

PARTITION = "@partition"
"""The id column that is added to those of a series: what two partitions have seen of it is kept apart."""
_REMEMBERED = 1 << 16
"""Series whose places are remembered by their ids, at most: some 16 MB. A choice: a key takes ten times as long."""
_LOOKED_UP = 1 << 16
"""Keys of other partitions that are looked up at once. A choice: of more the processor's caches hold too few."""


class SeriesPlaces:
    """Finds series among those that are held, and adds them."""

    def __init__(self, held: HeldSeries) -> None:
        """Find them in `held`, to which others may add series as well."""
        self._held = held
        self._place_of: dict[tuple[int | str, ...], int] = {}
        self._renumbered = held.renumbered

    def find(self, ids: Mapping[str, Values]) -> tuple[Rows, str]:
        """Return (m,) the places of series, and in words one that is new here and held in another partition, too."""
        if self._renumbered != self._held.renumbered:
            self._place_of.clear()
            self._renumbered = self._held.renumbered
        series = list(zip(*[column.tolist() for column in ids.values()], strict=True))
        remembered = self._place_of.get
        places = np.array([remembered(one, -1) for one in series], np.int64)
        if not len(others := np.flatnonzero(places < 0)):
            return places, ""
        places[others], astray = self._look_up({name: column[others] for name, column in ids.items()})
        if len(others) + len(self._place_of) > _REMEMBERED:
            self._place_of.clear()
        for row in others[:_REMEMBERED].tolist():
            self._place_of[series[row]] = int(places[row])
        return places, astray

    def _look_up(self, ids: Mapping[str, Values]) -> tuple[Rows, str]:
        partition: Rows = ids[PARTITION].astype(np.int64)
        own = {name: column for name, column in ids.items() if name != PARTITION}
        digests = digests_of(own)
        keys = keys_in(digests, partition)
        places = self._held.find(keys)
        if not len(new := np.flatnonzero(places < 0)):
            return places, ""
        astray = ""
        if (found := self._elsewhere(digests[new], partition[new])) is not None:
            one, other = int(new[found[0]]), found[1]
            whose = ", ".join(f"{name}={column[one]}" for name, column in own.items())
            astray = f"{whose} in partition {partition[one]} and in {other}"
        places[new] = self._held.add(keys[new], partition[new])
        return places, astray

    def _elsewhere(self, digests: Keys, partition: Rows) -> tuple[int, int] | None:
        """Return one of these series that another partition has, too, and which; None if there is none."""
        order = np.lexsort(digests.T)
        if len(twice := np.flatnonzero((digests[order][1:] == digests[order][:-1]).all(axis=1))):
            return int(order[twice[0]]), int(partition[order[twice[0] + 1]])  # both are new
        others = np.array(sorted(self._held.of_partitions), np.int64)
        at_once = max(1, _LOOKED_UP // len(digests))
        for first in range(0, len(others), at_once):
            some = np.repeat(others[first : first + at_once], len(digests))
            repeated = np.tile(np.arange(len(digests)), len(some) // len(digests))
            places = self._held.find(keys_in(digests[repeated], some))
            if len(twice := np.flatnonzero((places >= 0) & (partition[repeated] != some))):
                return int(repeated[twice[0]]), int(some[twice[0]])
        return None
