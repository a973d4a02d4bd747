"""Retry with exponential backoff and jitter while a dependency is unavailable: all that is retried here uses this.

In: an operation that may raise `Unavailable`. Out: its result; meanwhile, which dependency is unavailable. Knows
nothing of the operation. Who looks again and again at a state that will come, such as a server that starts, retries
nothing that failed, and polls.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from undertow.core.errors import Unavailable
from undertow.stream.events import Listener, Recovered, Retrying
from undertow.stream.ports import Clock

T = TypeVar("T")

FIRST_DELAY_S, LONGEST_DELAY_S, SAY_SO_EVERY_S = 0.05, 5.0, 60.0


@dataclass(slots=True)
class RetryState:
    """The operations that are being retried. Written by those who retry, read by any thread."""

    retries: int = 0
    failing: dict[object, str] = field(default_factory=dict)
    """By operation that is being retried, its last error."""
    silence: str | None = None
    """For how long the broker has not answered the polls, in words; None where it does."""

    @property
    def blocked(self) -> str | None:
        """Why an operation is being retried; None where none is."""
        return next(iter(list(self.failing.values())), self.silence)


class Retry:
    """Retries with exponential backoff, for any number of threads at once."""

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
        give_up: Callable[[], bool] = lambda: False,
        for_s: float = math.inf,
        on: type[Exception] = Unavailable,
        tell: Listener = lambda _event: None,
        state: RetryState | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`give_up` ends the retries, and so do `for_s` seconds of one operation.

        `on` is what may pass: a vendor's own error where only that tells. `jitter` draws from [0, 1], so that replicas
        do not retry in step.
        """
        self._clock, self._wait, self._give_up, self._tell, self._jitter = clock, wait, give_up, tell, jitter
        self._for_s, self._on, self._state = for_s, on, state or RetryState()

    def __call__(self, act: Callable[[], T]) -> T:
        """Call until it no longer raises `on`, or the retries end: then raise the last one."""
        try:
            return act()
        except self._on as error:
            failed, mine = error, object()
        delay, since, said_at = FIRST_DELAY_S, self._clock(), -SAY_SO_EVERY_S
        try:
            while True:
                if self._give_up() or self._clock() - since >= self._for_s:
                    raise failed
                self._state.failing[mine] = str(failed)
                self._state.retries += 1
                if self._clock() - said_at >= SAY_SO_EVERY_S:
                    said_at = self._clock()
                    self._tell(Retrying(error=str(failed)))
                self._wait(delay * (0.5 + self._jitter() / 2))
                delay = min(2 * delay, LONGEST_DELAY_S)
                try:
                    result = act()
                except self._on as error:
                    failed = error
                else:
                    self._tell(Recovered(error=str(failed), seconds=self._clock() - since))
                    return result
        finally:
            self._state.failing.pop(mine, None)
