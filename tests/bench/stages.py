"""Who used the CPU: that of the process by stage and by thread, without a profiler.

In: functions to count, named by their owner. Out: CPU seconds of each stage. Knows no case.

Each counted function is replaced by one that reads its thread's CPU clock before and after: about a microsecond for a
batch. What a stage calls that is counted too is not its own. Threads that run no counted function (Kafka's) are read
from the kernel.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

KAFKA_THREAD = "kafka client's thread"
REST = "loop and the rest"


class Stages:
    """The CPU of the stages of one process. Counts from `start` on."""

    def __init__(self) -> None:
        self._own: dict[str, float] = defaultdict(float)
        self._within = threading.local()
        self._threads: dict[int, float] = {}
        self._process_s = 0.0

    def count(self, stage: str, owner: Any, name: str) -> None:
        """Count the function or method `owner.name`, of a class or a module, as this stage."""
        function: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            outer, self._within.s = getattr(self._within, "s", 0.0), 0.0
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time() - began
                self._own[stage] += spent - self._within.s
                self._within.s = outer + spent

        setattr(owner, name, counted)

    def start(self) -> None:
        """Forget what was counted until now."""
        self._own.clear()
        self._threads, self._process_s = of_threads(), time.process_time()

    def stop(self) -> Mapping[str, float]:
        """Return CPU seconds by stage; together they are all that the process used."""
        process_s, now = time.process_time() - self._process_s, of_threads()
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        clients = [task for task in now if "kafka" in names.get(task, "")]
        kafka_s = sum(now[task] - self._threads.get(task, 0.0) for task in clients)
        stages = {**self._own, KAFKA_THREAD: kafka_s}
        return {**stages, REST: process_s - sum(stages.values())}


def of_threads() -> dict[int, float]:
    """Return the CPU seconds of each thread of this process so far, as the scheduler counts them."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}
