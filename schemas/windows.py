"""Windows as a columnar batch: every decoder's output, and the embedder's input.

In: arrays. Out: `WindowBatch`. Knows no wire format and no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]
"""float64 for numbers, int64 for integer ids, object (of str) for strings."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowBatch:
    """n windows. Treat the arrays as read-only; nothing here copies them unless it says so.

    `past` is ragged: the steps of window i are `column[starts[i]:starts[i + 1]]`, oldest first, as in an Arrow list.
    """

    series: Mapping[str, Values]
    """Id columns, each (n,), int64 or object of str."""
    end_us: NDArray[np.int64]
    """(n,) event time of the last encoder step: microseconds since the epoch, UTC."""
    lengths: NDArray[np.int64]
    """(n,) encoder steps of each window."""
    past: Mapping[str, Values]
    """Encoder columns, each (lengths.sum(),). A missing step, if the contract allows that, is NaN in columns of numbers
    and None in others."""
    future: Mapping[str, Values]
    """Decoder columns that are known ahead, each (n, horizon)."""
    static: Mapping[str, Values]
    """Static columns, each (n,)."""

    def __len__(self) -> int:
        return len(self.end_us)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(n + 1,) where each window's steps begin in the `past` columns, and where the last window's end."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    def take(self, rows: NDArray[np.int64]) -> "WindowBatch":
        """Copy the given rows, in the given order."""
        starts, lengths = self.starts, self.lengths[rows]
        begins = np.repeat(starts[rows], lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        steps = begins + within
        return WindowBatch(
            series={name: column[rows] for name, column in self.series.items()},
            end_us=self.end_us[rows],
            lengths=lengths,
            past={name: column[steps] for name, column in self.past.items()},
            future={name: column[rows] for name, column in self.future.items()},
            static={name: column[rows] for name, column in self.static.items()},
        )

    @classmethod
    def concat(cls, batches: Sequence["WindowBatch"]) -> "WindowBatch":
        """Join batches of the same columns, in order. There must be at least one."""
        first = batches[0]

        def join(part: str) -> dict[str, Values]:
            return {name: np.concatenate([getattr(b, part)[name] for b in batches]) for name in getattr(first, part)}

        return cls(
            series=join("series"),
            end_us=np.concatenate([b.end_us for b in batches]),
            lengths=np.concatenate([b.lengths for b in batches]),
            past=join("past"),
            future=join("future"),
            static=join("static"),
        )
