"""The encoder steps of many windows: end to end in a batch of windows, padded in a model's inputs.

In: lengths, and which windows came with gaps. Out: `Steps`, which moves arrays from one shape to the other. Knows no
column.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Steps:
    """Where each step of each window goes."""

    def __init__(self, lengths: NDArray[np.int64], filled: NDArray[np.bool_]) -> None:
        self.lengths = lengths
        self.filled = filled
        """(n,) which windows came with steps missing."""
        self.shape = (len(lengths), int(lengths.max(initial=0)))
        self.starts = np.cumsum(lengths) - lengths
        self.inside = np.arange(self.shape[1]) < lengths[:, None]
        """(n, t) which places of a padded array hold a step."""
        self._is_full = bool(self.inside.all())

    def spread(self, per_window: Any) -> Any:
        """Repeat (n,) to (steps,); a number stays a number."""
        return np.repeat(per_window, self.lengths) if isinstance(per_window, np.ndarray) else per_window

    def pad(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Shape (steps, ...) as (n, t, ...), with 0 behind the last step."""
        if self._is_full:
            return flat.reshape(*self.shape, *flat.shape[1:])
        padded = np.zeros((*self.shape, *flat.shape[1:]), flat.dtype)
        padded[self.inside] = flat
        return padded
