"""A command that runs until it is told to end: by Ctrl-C, SIGTERM or SIGHUP.

In: signals of this process. Out: a flag, or an error. Knows no command.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from undertow.core.errors import EndedBySignal

LOOK_EVERY_S = 0.2
"""A handler may interrupt anything, so nothing can be woken by it: who waits looks again and again."""


class Stop:
    """A stop flag, set in a signal handler, which may interrupt anything: it must not take a lock."""

    def __init__(self) -> None:
        """Start unset."""
        self._is_set = False

    def set(self) -> None:
        """Set the flag."""
        self._is_set = True

    def is_set(self) -> bool:
        """Return whether it was set."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Return whether it is set, at once when it is, else after so many seconds."""
        give_up_at = time.monotonic() + seconds
        while not self._is_set and (left := give_up_at - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_EVERY_S))
        return self._is_set


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """Remember Ctrl-C, SIGTERM and SIGHUP; the second Ctrl-C interrupts as usual."""
    stop = Stop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    with _handled(on_signal):
        yield stop


@contextlib.contextmanager
def ended_by_signals(left: str) -> Iterator[None]:
    """End what runs inside by Ctrl-C, SIGTERM or SIGHUP: raise `EndedBySignal`, which says what is `left` to do.

    To be entered in the main thread, after Ray has started, whose own handler prints a native trace and aborts.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        message = f"ended by {signal.Signals(number).name}: {left}"
        raise EndedBySignal(message)

    with _handled(on_signal):
        yield


@contextlib.contextmanager
def _handled(on_signal: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it: the terminal may go
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
