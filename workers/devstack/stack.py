"""Kafka and Redis together: up, running, down; or only for as long as a block runs.

In: a folder. Out: a `Stack`, which says where both answer; the folder's `stack.json` says it to every other command.
Knows nothing of what they are used for.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from undertow.core.errors import Refused
from undertow.core.private_files import make_folder
from undertow.core.publication import replace_file
from undertow.devstack.kafka import STOP_S as KAFKA_STOP_S
from undertow.devstack.kafka import KafkaServer, await_kafka, start_kafka
from undertow.devstack.processes import Process, free_port, is_port_free, stop
from undertow.devstack.redis import STOP_S as REDIS_STOP_S
from undertow.devstack.redis import RedisServer, await_redis, start_redis

RECORD = "stack.json"
KAFKA_FOLDER = "stack.kafka"  # names that nobody else has: we remove these folders
REDIS_FOLDER = "stack.redis"
ABSENT = Process(pid=0, began="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where both servers answer, and which processes they are."""

    folder: Path
    bootstrap: str
    """Kafka, as `host:port`."""
    redis: str
    """Redis, as `host:port`."""
    persist: bool
    """Whether data stays when the stack stops."""
    kafka_process: Process
    redis_process: Process


def up(folder: Path, *, kafka_port: int | None = None, redis_port: int | None = None, persist: bool = False) -> Stack:
    """Start what does not run yet, to outlive this process, and return when both answer. Idempotent.

    Data that was kept once is kept for ever: `persist` need not be said again. Raises `Refused` for what contradicts a
    running stack, `Unavailable` where a server does not start.
    """
    return bring_up(folder, kafka_port=kafka_port, redis_port=redis_port, persist=persist, leashed=False)


def running(folder: Path) -> Stack | None:
    """Return the stack of this folder where both of its servers run."""
    stack = read(folder)
    return stack if stack and stack.kafka_process.is_alive() and stack.redis_process.is_alive() else None


def down(folder: Path) -> bool:
    """Stop what runs of this folder's stack, and remove its data unless it is to be kept; return whether any ran."""
    if not folder.is_dir():
        return False
    with locked(folder):
        stack = read(folder)
        if stack is None:
            return False
        redis_ran = stop(stack.redis_process, grace_seconds=REDIS_STOP_S)
        kafka_ran = stop(stack.kafka_process, grace_seconds=KAFKA_STOP_S)
        if not stack.persist:
            remove_data(folder)
        return redis_ran or kafka_ran


@contextlib.contextmanager
def ephemeral(folder: Path) -> Iterator[Stack]:
    """Run a stack for the time of a block. Its servers end with this process, even where that is killed.

    Raises as `up` does, and `Refused` where the folder holds another stack, running or kept.
    """
    stack = bring_up(folder, kafka_port=None, redis_port=None, persist=False, leashed=True)
    try:
        yield stack
    finally:
        down(folder)


def bring_up(folder: Path, *, kafka_port: int | None, redis_port: int | None, persist: bool, leashed: bool) -> Stack:
    """Start each server that does not run, on the port it had before where that is still free."""
    make_folder(folder)
    with locked(folder):
        old = remaining(folder)
        if old and leashed:
            message = f"expected no stack in {folder}, but one runs or is kept there (choose another folder)"
            raise Refused(message)
        stack = old or Stack(
            folder=folder, bootstrap="", redis="", persist=persist, kafka_process=ABSENT, redis_process=ABSENT
        )
        if persist and not stack.persist:
            message = f"the stack in {folder} runs without --persist; stop it first: undertow down"
            raise Refused(message)
        redis = RedisServer(
            folder=folder / REDIS_FOLDER,
            port=choose_port("redis", redis_port, stack.redis, stack.redis_process),
            persist=stack.persist,
        )
        kafka = KafkaServer(
            folder=folder / KAFKA_FOLDER,
            port=choose_port("kafka", kafka_port, stack.bootstrap, stack.kafka_process),
            controller_port=free_port(),
        )
        try:
            if not stack.redis_process.is_alive():
                stack = replace(stack, redis=redis.address, redis_process=start_redis(redis, leashed=leashed))
                write(stack)  # at once, so that `down` finds it whatever happens to us
            if not stack.kafka_process.is_alive():
                stack = replace(stack, bootstrap=kafka.address, kafka_process=start_kafka(kafka, leashed=leashed))
                write(stack)
            await_redis(redis, stack.redis_process)
            await_kafka(kafka, stack.kafka_process)
        except BaseException:
            for process, before, grace_seconds in (
                (stack.redis_process, old and old.redis_process, REDIS_STOP_S),
                (stack.kafka_process, old and old.kafka_process, KAFKA_STOP_S),
            ):
                if process != before:
                    stop(process, grace_seconds=grace_seconds)
            raise
        return stack


def remaining(folder: Path) -> Stack | None:
    """Return the stack that runs, at least in part, or whose data is kept; of any other, remove what it left."""
    stack = read(folder)
    if stack and (stack.persist or stack.kafka_process.is_alive() or stack.redis_process.is_alive()):
        return stack
    remove_data(folder)
    return None


def choose_port(name: str, wanted: int | None, had: str, process: Process) -> int:
    """Return the port of a running server, the wanted one, the one it had, or any that is free."""
    before = int(had.rpartition(":")[2] or 0)
    if process.is_alive():
        if wanted not in {None, before}:
            message = f"{name} was asked for on port {wanted}, but runs on {before} (stop it first: undertow down)"
            raise Refused(message)
        return before
    if wanted is not None:
        if not is_port_free(wanted):
            message = f"{name} was asked for on port {wanted}, but another process listens there (choose another port)"
            raise Refused(message)
        return wanted
    return before if before and is_port_free(before) else free_port()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other commands off this folder. The lock ends with the process at the latest."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read(folder: Path) -> Stack | None:
    """Return what `stack.json` says, of servers alive or dead."""
    record = folder / RECORD
    try:
        content: dict[str, Any] = json.loads(record.read_bytes())
        kafka, redis = Process(**content.pop("kafka_process")), Process(**content.pop("redis_process"))
        return Stack(folder=folder, kafka_process=kafka, redis_process=redis, **content)
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"{record} was expected to be as `undertow up` wrote it, but: {error!r} (remove it to begin anew)"
        raise Refused(message) from error


def write(stack: Stack) -> None:
    """Replace `stack.json` in one step."""
    content = asdict(stack)
    del content["folder"]
    replace_file(stack.folder / RECORD, f"{json.dumps(content, indent=2)}\n".encode())


def remove_data(folder: Path) -> None:
    """Forget the stack; other files in the folder are not ours."""
    (folder / RECORD).unlink(missing_ok=True)
    for name in (KAFKA_FOLDER, REDIS_FOLDER):
        shutil.rmtree(folder / name, ignore_errors=True)
