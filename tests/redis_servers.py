"""Several Redis servers of the wheel that belong together: a cluster, and a master with a replica and a sentinel."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from undertow.devstack.processes import LOCALHOST, Process, free_port, is_port_free, start, stop
from undertow.devstack.redis import executable

SLOTS = 16_384
BUS = 10_000
"""A node of a cluster listens at its port + 10,000, too."""
WAIT_S = 30


def client(port: int) -> redis.Redis:
    """Return a client of one server, which waits until it listens."""
    return redis.Redis(host=LOCALHOST, port=port, retry=Retry(ConstantBackoff(0.05), 200))


@contextlib.contextmanager
def cluster(folder: Path, count: int) -> Iterator[list[int]]:
    """Start as many masters, each with its share of the slots; yield their ports."""
    ports: list[int] = []
    while len(ports) < count:  # below the ports that the kernel gives to connections
        port = next(one for one in iter(free_port, 0) if one < 32_768 - BUS and is_port_free(one + BUS))
        ports += [port] if port not in ports else []
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(server(folder / str(port), port, "--cluster-enabled", "yes"))
        clients = [stack.enter_context(client(port)) for port in ports]
        for place, one in enumerate(clients):
            one.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS * place // count, SLOTS * (place + 1) // count))
            one.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for port in ports[1:]:
            clients[0].execute_command("CLUSTER", "MEET", LOCALHOST, port)
        await_that(lambda: all(is_whole(one, count) for one in clients), "the cluster")
        yield ports


def is_whole(one: redis.Redis, count: int) -> bool:
    """Whether a node knows the others and who has which slot."""
    told = one.execute_command("CLUSTER", "INFO")
    return b"cluster_state:ok" in told and b"cluster_size:%d" % count in told


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[tuple[int, Process, int]]:
    """Start a master, its replica and a sentinel; yield the sentinel's port, the master, and its port."""
    with contextlib.ExitStack() as stack:
        master, replica, sentinel = free_port(), free_port(), free_port()
        process = stack.enter_context(server(folder / "master", master))
        stack.enter_context(server(folder / "replica", replica, "--replicaof", LOCALHOST, str(master)))
        with client(replica) as one:
            await_that(lambda: one.info("replication")["master_link_status"] == "up", "the replica")
        config = folder / "sentinel.conf"
        name = "undertow"
        config.write_text(
            f"port {sentinel}\nbind {LOCALHOST}\nsentinel monitor {name} {LOCALHOST} {master} 1\n"
            f"sentinel down-after-milliseconds {name} 300\nsentinel failover-timeout {name} 3000\n"
        )
        log = folder / "sentinel.log"
        guard = start([executable(), str(config), "--sentinel"], log=log, leashed=True)
        stack.callback(stop, guard, grace_seconds=10)
        with client(sentinel) as one:
            await_that(lambda: one.sentinel_master(name)["num-slaves"] == 1, "the sentinel")
        yield sentinel, process, master


@contextlib.contextmanager
def server(folder: Path, port: int, *options: str) -> Iterator[Process]:
    """Start one, with more options."""
    folder.mkdir()
    given = ("--port", str(port), "--bind", LOCALHOST, "--dir", str(folder), "--save", "", *options)
    process = start([executable(), *given], log=folder / "redis.log", leashed=True)
    try:
        yield process
    finally:
        stop(process, grace_seconds=10)


def await_that(is_so: Callable[[], bool], what: str) -> None:
    """Return once it is so."""
    until = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until, f"{what} is not ready"
        time.sleep(0.02)
