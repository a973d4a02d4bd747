"""Recognise out-of-memory errors of a forward, and adapt the batch size.

In: an error, a device; the size of a forward that failed. Out: whether memory was short; how many steps the next
forward may have. Knows neither models nor windows.
"""

import torch

PHRASES = ("allocate memory", "not enough memory", "out of memory", "bad_alloc", "alloc_failed")
"""Wordings of torch's allocators, its C++ parts, cuBLAS and the system, whose errors have no class of their own."""
GROW_AFTER = 256
"""After this many forwards that fit, a larger one is tried again: should it fail, that costs below 1 % of the time."""


def is_short_of_memory(error: BaseException) -> bool:
    """Whether this error says that memory ran out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(one in str(error).lower() for one in PHRASES)


def free(device: torch.device) -> None:
    """Release the memory that torch's allocator caches for later forwards."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


class StepBudget:
    """How many steps one forward may have: less after a shortage of memory, then gradually more again."""

    def __init__(self, most: int) -> None:
        self._most, self._fitted = most, 0
        self.steps = most

    def lower(self, failed: int) -> None:
        """Record that a forward of `failed` steps did not fit."""
        self.steps, self._fitted = max(1, min(self.steps, failed // 2)), 0

    def fitted(self) -> None:
        """Record that a forward fitted."""
        self._fitted += 1
        if self._fitted >= GROW_AFTER and self.steps < self._most:
            self.steps, self._fitted = min(self._most, 2 * self.steps), 0
