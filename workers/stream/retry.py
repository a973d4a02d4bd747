"""Trying again until what does not answer answers.

In: an act that may raise `Unavailable`. Out: its result, and meanwhile what it was that did not answer. Knows nothing
of what is tried.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from undertow.core.errors import Unavailable
from undertow.stream.events import Recovered, Retrying, Tell
from undertow.stream.ports import Clock

T = TypeVar("T")

FIRST_DELAY_S, LONGEST_DELAY_S, SAY_SO_EVERY_S = 0.05, 5.0, 60.0


@dataclass(slots=True)
class Trouble:
    """What has not answered so far. Written by those who try, read by anyone."""

    retries: int = 0
    failing: dict[object, str] = field(default_factory=dict)
    """Of each act that is being tried again, what it said last."""
    silence: str | None = None
    """For how long what is only listened to has said nothing."""

    @property
    def blocked(self) -> str | None:
        """Why something waits just now."""
        return next(iter(list(self.failing.values())), self.silence)


class Patience:
    """Tries again with growing delays, for any number of threads at once."""

    def __init__(
        self,
        *,
        clock: Clock,
        wait: Callable[[float], object],
        give_up: Callable[[], bool],
        tell: Tell,
        trouble: Trouble,
        jitter: Callable[[], float],
    ) -> None:
        """`give_up` ends the trying; `jitter` draws from [0, 1], so that replicas do not knock in step."""
        self._clock, self._wait, self._give_up, self._tell, self._jitter = clock, wait, give_up, tell, jitter
        self._trouble = trouble

    def keep_trying(self, act: Callable[[], T]) -> T:
        """Call until it no longer raises `Unavailable`; the last of them, where it is time to give up."""
        try:
            return act()
        except Unavailable as error:
            failed, mine = error, object()
        delay, since, said_at = FIRST_DELAY_S, self._clock(), -SAY_SO_EVERY_S
        try:
            while True:
                if self._give_up():
                    raise failed
                self._trouble.failing[mine] = str(failed)
                self._trouble.retries += 1
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
            self._trouble.failing.pop(mine, None)
