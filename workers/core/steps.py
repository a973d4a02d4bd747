"""Convert encoder steps between their two shapes: concatenated in a batch of windows, padded in a model's inputs.

In: lengths, and which windows had gaps. Out: `Steps`, which converts arrays. Knows no column.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Steps:
    """The place of each step of each window in a padded array."""

    def __init__(self, lengths: NDArray[np.int64], filled: NDArray[np.bool_]) -> None:
        self.lengths = lengths
        self.filled = filled
        """(n,) bool, which windows had missing steps."""
        self.shape = (len(lengths), int(lengths.max(initial=0)))
        self.starts = np.cumsum(lengths) - lengths
        self.inside = np.arange(self.shape[1]) < lengths[:, None]
        """(n, t) bool, which places of a padded array hold a step."""
        self._is_full = bool(self.inside.all())

    def spread(self, per_window: Any) -> Any:
        """Repeat (n,) to (steps,), one entry for each step; a scalar stays a scalar."""
        return np.repeat(per_window, self.lengths) if isinstance(per_window, np.ndarray) else per_window

    def pad(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Shape (steps, ...) as (n, t, ...), with 0 after each window's last step."""
        if self._is_full:
            return flat.reshape(*self.shape, *flat.shape[1:])
        padded = np.zeros((*self.shape, *flat.shape[1:]), flat.dtype)
        padded[self.inside] = flat
        return padded
