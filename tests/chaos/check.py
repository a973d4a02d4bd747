"""Compare both stores and the dead letters with a reference that no fleet has touched.

In: what the topic holds, what the stores hold, one vector for each number. Out: `Verdict`. Knows neither how it was
read nor what went wrong meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

ATOL = 1e-6
Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the topic holds."""

    windows: Mapping[Place, int]
    """The number of the window at each place; a number sent twice has two."""
    poison: frozenset[Place]
    vectors: np.ndarray
    """(numbers, size): by the number, computed directly."""
    sites: np.ndarray
    """(numbers,): the site of each number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is amiss: all counts are 0 where nothing is."""

    windows: int
    unsent: int = 0
    """Acknowledged to the producer, but not in the topic."""
    offline_lost: int = 0
    offline_duplicated: int = 0
    offline_wrong: int = 0
    """Another vector or site than the reference's, or a row that no record gave rise to."""
    online_lost: int = 0
    online_wrong: int = 0
    rejects_expected: int = 0
    rejects_lost: int = 0
    rejects_wrong: int = 0

    @property
    def is_clean(self) -> bool:
        faults = (self.unsent, self.offline_lost, self.offline_duplicated, self.offline_wrong, self.online_lost)
        return not any((*faults, self.online_wrong, self.rejects_lost, self.rejects_wrong))


def check(
    truth: Truth,
    *,
    sent: Iterable[int],
    offline: pd.DataFrame,
    online: Mapping[str, np.ndarray],
    rejects: Iterable[Place],
) -> Verdict:
    """Judge. `offline` has columns site, number, partition, offset, embedding; `online` one vector for each site."""
    numbers = set(truth.windows.values())
    rows = Counter(zip(offline["partition"].tolist(), offline["offset"].tolist(), strict=True))
    wrong = sum(
        number != truth.windows.get((partition, offset))
        or site != truth.sites[number]
        or not _is_close(vector, truth.vectors[number])
        for site, number, partition, offset, vector in offline[
            ["site", "number", "partition", "offset", "embedding"]
        ].itertuples(index=False)
    )
    newest = {truth.sites[number]: number for number in sorted(numbers)}
    rejected = set(rejects)
    return Verdict(
        windows=len(truth.windows),
        unsent=len(set(sent) - numbers),
        offline_lost=len(truth.windows.keys() - rows.keys()),
        offline_duplicated=sum(count - 1 for count in rows.values()),
        offline_wrong=wrong,
        online_lost=len(newest.keys() - online.keys()),
        online_wrong=sum(
            site not in newest or not _is_close(vector, truth.vectors[newest[site]]) for site, vector in online.items()
        ),
        rejects_expected=len(truth.poison),
        rejects_lost=len(truth.poison - rejected),
        rejects_wrong=len(rejected - truth.poison),
    )


def _is_close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=0, atol=ATOL))
