"""Is what a case made readable the embedding of the right window?

In: a feature store that a case has filled. Out: how far its vectors are from the reference. Knows no case.
"""

from pathlib import Path

import numpy as np
from data import SERIES, name_of, number_of, windows
from feast import FeatureStore
from features import read
from model import embed, inputs_of, load

SAMPLE = 64
TOLERANCE = 1e-5


class Reference:
    """pytorch-forecasting's own loading, inputs and whole forward: what every case must agree with."""

    def __init__(self, folder: Path) -> None:
        self._model = load(folder)

    def distance(self, store: FeatureStore, feature: str, series: int) -> float:
        """Return the greatest difference between rows read from `view:name` and the reference.

        Raises where not exactly as many series are readable as the case has embedded, or the distance is too great.
        """
        rows = read(store, feature, [name_of(number) for number in range(SERIES)])
        assert len(rows) == series, f"{len(rows)} series are readable under {feature}, but {series} were embedded"
        picked = sorted(rows)[:: max(1, len(rows) // SAMPLE)]
        numbers = [number_of(series, rows[series][0]) for series in picked]
        expected = embed(self._model, inputs_of(self._model, [next(windows(n, n + 1)) for n in numbers]))
        found = np.stack([rows[series][1] for series in picked])
        distance = float(np.abs(expected - found).max())
        assert distance <= TOLERANCE, f"{feature} is off by {distance:.1e}; {TOLERANCE:.0e} is allowed"
        return distance
