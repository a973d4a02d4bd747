"""Let series begin anew: of what was observed of them before nothing counts any more.

In: observations that name series. Out: what is held without their cells, and without what waits for its cell to be
closed. Their newest event times stay, so that no window is made twice and what is late is as late as before; and so
does what they have said of statics, which few producers repeat. Knows no records.
"""

import numpy as np

from undertow.observations.read import Observations
from undertow.observations.series_keys import keys_of
from undertow.observations.series_places import PARTITION
from undertow.observations.streamed import StreamedSeries


def begin_anew(streamed: StreamedSeries, named: Observations) -> int:
    """Let the series begin anew that observations, read with `PARTITION` as the last id, name; return how many.

    Nothing is taken of these observations themselves.
    """
    own = {name: column for name, column in named.ids.items() if name != PARTITION}
    keys = keys_of(own, named.ids[PARTITION].tolist())
    places = streamed.held.find(keys)
    places = places[places >= 0]
    streamed.held.cells[places] = 0
    streamed.open.take_closed(places, np.full(len(streamed.held), np.iinfo(np.int64).max))
    return len(keys)
