"""Out-of-memory errors of a forward: how they are recognized, and the batch size after one.

In: an error, a device; how large a forward was that failed. Out: whether memory was short; how many steps the next
forward may have. Knows neither models nor windows.
"""

import torch

PHRASES = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "alloc_failed")
"""How torch's allocators, its C++ parts, cuBLAS and the system put it, in errors that have no class of their own."""
GROW_AFTER = 256
"""So many forwards that fit, before a larger one is tried again: what fails then costs below one per cent."""


def is_short_of_memory(error: BaseException) -> bool:
    """Tell whether this says that memory could not be had."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(one in str(error).lower() for one in PHRASES)


def free(device: torch.device) -> None:
    """Give back what is kept for later forwards."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


class Room:
    """How many steps one forward may have: fewer once memory was short, and step by step more when it is no longer."""

    def __init__(self, most: int) -> None:
        self._most, self._fitted = most, 0
        self.steps = most

    def lower(self, failed: int) -> None:
        """Note that a forward of so many steps did not fit."""
        self.steps, self._fitted = max(1, min(self.steps, failed // 2)), 0

    def fitted(self) -> None:
        """Note that a forward did."""
        self._fitted += 1
        if self._fitted >= GROW_AFTER and self.steps < self._most:
            self.steps, self._fitted = min(self._most, 2 * self.steps), 0
