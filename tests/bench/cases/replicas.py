"""Undertow as it runs: a controller and two replicas under Ray, two processes with a model each."""

import time

from case import Given, Measured, answer
from data import SERIES, encoded, fill
from fleet import cpu_of_processes_s, running, wait_until

TIMEOUT_S = 120.0


def run(given: Given) -> Measured:
    """Embed a topic that is filled when the fleet is ready, so that both replicas begin together.

    The clock runs from just before the first record is written, and includes the writing.
    """
    records = list(encoded(0, given.count))
    with running(given) as fleet:
        cpu_s, began = cpu_of_processes_s(), time.perf_counter()
        fill(given.kafka, given.run, records)
        status = wait_until(fleet, lambda status: status.windows >= given.count, TIMEOUT_S)
        wall_s, cpu_s = time.perf_counter() - began, cpu_of_processes_s() - cpu_s
    return Measured(windows=status.windows, wall_s=wall_s, cpu_s=cpu_s, forward_s=None, series=min(given.count, SERIES))


if __name__ == "__main__":
    answer(run)
