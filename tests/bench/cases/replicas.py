"""Undertow as it runs: a controller and replicas under Ray, each a process with a model."""

import time

from case import Given, Measured, answer
from data import SERIES
from fleet import cpu_of_processes_s, running, wait_until
from product import fill_topic

TIMEOUT_S = 120.0


def run(given: Given) -> Measured:
    """Embed a topic that is filled when the fleet is ready, so that all replicas begin together.

    The clock runs from just before the first record is written, and includes the making and writing of records.
    """
    with running(given) as fleet:
        cpu_s, began = cpu_of_processes_s(), time.perf_counter()
        fill_topic(given, given.run)
        status = wait_until(fleet, lambda status: status.counts.windows >= given.count, TIMEOUT_S)
        wall_s, cpu_s = time.perf_counter() - began, cpu_of_processes_s() - cpu_s
    windows = status.counts.windows
    return Measured(windows=windows, wall_s=wall_s, cpu_s=cpu_s, forward_s=None, series=min(given.count, SERIES))


if __name__ == "__main__":
    answer(run)
