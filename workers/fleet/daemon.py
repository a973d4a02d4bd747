"""Run a function periodically in a daemon thread that survives its errors.

In: a function. Out: a daemon thread. Knows nothing of what the function does.
"""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0


def repeat(act: Callable[[], float | None], *, wait: Callable[[float], object] = time.sleep) -> None:
    """Call `act` repeatedly. It returns the seconds to wait until the next call, None to end.

    Its errors are logged, and it is called again after a delay that doubles with each error in a row. `stream.retry`
    retries one operation until it returns; this must go on after any error, and is never done.
    """
    delay = FIRST_DELAY_S
    while True:
        try:
            pause = act()
        except Exception:
            log.exception("%s failed; trying again in %.0f s", threading.current_thread().name, delay)
            pause, delay = delay, min(2 * delay, LONGEST_DELAY_S)
        else:
            delay = FIRST_DELAY_S
        if pause is None:
            return
        wait(pause)


def start_daemon(
    name: str, act: Callable[[], float | None], *, wait: Callable[[float], object] = time.sleep
) -> threading.Thread:
    """Start `repeat` in a daemon thread, which ends with the process."""
    thread = threading.Thread(target=repeat, args=(act,), kwargs={"wait": wait}, name=name, daemon=True)
    thread.start()
    return thread
