"""A real fleet on a topic of its own, which is empty when all its replicas are ready.

In: `Given`. Out: the running fleet, and the CPU of its processes. Knows not what is measured.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

import psutil
from case import Given
from data import make_topic
from product import settings_of

from undertow.fleet.handle import Fleet
from undertow.fleet.launch import start
from undertow.fleet.status import FleetStatus
from undertow.ray_session.session import ray_session
from undertow.wiring.root import stream_recipe

READY_S = 120.0
LOOK_EVERY_S = 0.02


@contextmanager
def running(given: Given, configs: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """Start a fleet on the new topic `given.run`; give it when every replica reads its share."""
    make_topic(given.kafka, given.run, given.partitions, configs)
    settings = settings_of(given, topic=given.run)
    recipe = stream_recipe(settings)
    with ray_session(settings.fleet, replicas=settings.fleet.replicas):
        fleet = start(recipe)
        try:
            wait_until(fleet, partial(all_read, given), READY_S)
            yield fleet
            fleet.drain_and_wait(READY_S)
        finally:
            fleet.remove()


def all_read(given: Given, status: FleetStatus) -> bool:
    """Return whether all replicas run and every partition has its reader."""
    ready = [replica for replica in status.replicas if replica.state == "running"]
    return len(ready) == given.replicas and sum(len(replica.held) for replica in ready) == given.partitions


def wait_until(fleet: Fleet, holds: Callable[[FleetStatus], bool], timeout_s: float) -> FleetStatus:
    """Ask until it holds, and return what was answered then."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        status = fleet.status()
        if holds(status):
            return status
        assert status.state != "failed", status.message
        assert time.monotonic() < give_up_at, f"not within {timeout_s:.0f} s: {status.to_json()}"
        time.sleep(LOOK_EVERY_S)


def cpu_of_processes_s() -> float:
    """Return the CPU seconds so far of all that this process has started: replicas, controller, Ray's servers."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
