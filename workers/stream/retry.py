"""Retry with exponential backoff and jitter while a dependency is unavailable.

In: an operation that may raise `Unavailable`. Out: its result; meanwhile, which dependency is unavailable. Knows
nothing of the operation.
"""

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
        clock: Clock,
        wait: Callable[[float], object],
        give_up: Callable[[], bool],
        tell: Listener,
        state: RetryState,
        jitter: Callable[[], float],
    ) -> None:
        """`give_up` ends the retries; `jitter` draws from [0, 1], so that replicas do not retry in step."""
        self._clock, self._wait, self._give_up, self._tell, self._jitter = clock, wait, give_up, tell, jitter
        self._state = state

    def __call__(self, act: Callable[[], T]) -> T:
        """Call until it no longer raises `Unavailable`, or `give_up` is true: then raise the last one."""
        try:
            return act()
        except Unavailable as error:
            failed, mine = error, object()
        delay, since, said_at = FIRST_DELAY_S, self._clock(), -SAY_SO_EVERY_S
        try:
            while True:
                if self._give_up():
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
                except Unavailable as error:
                    failed = error
                else:
                    self._tell(Recovered(error=str(failed), seconds=self._clock() - since))
                    return result
        finally:
            self._state.failing.pop(mine, None)
