"""A thread beside the work that no error ends.

In: what is to be done again and again. Out: a daemon thread. Knows nothing of what is done.
"""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0


def repeat(act: Callable[[], float | None], *, wait: Callable[[float], object] = time.sleep) -> None:
    """Call `act` again and again. It returns how many seconds to wait until the next time, None to end.

    What it raises is logged, and it is called again after a delay that doubles from error to error.
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
