"""A real Kafka and Redis, brought up and down."""

import os
import platform
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from undertow.core.errors import Refused
from undertow.devstack import stack as module
from undertow.devstack.kafka import KafkaServer
from undertow.devstack.processes import Process, began, is_port_free
from undertow.devstack.stack import ABSENT, Stack, down, ephemeral, running, up, write

TOPIC = "windows"
EXIT_THREAD = {"x86_64": 60, "aarch64": 93}[platform.machine()]  # the number of the system call `exit`


def put(stack: Stack, value: bytes) -> None:
    with KafkaAdminClient(bootstrap_servers=stack.bootstrap) as admin:
        admin.create_topics([NewTopic(TOPIC, 1, 1)])
    with KafkaProducer(bootstrap_servers=stack.bootstrap) as producer:
        producer.send(TOPIC, value).get(10)
    client(stack).set("key", value)


def get(stack: Stack) -> tuple[bytes, bytes]:
    """What Kafka and what Redis holds."""
    with KafkaConsumer(bootstrap_servers=stack.bootstrap, auto_offset_reset="earliest", group_id=None) as consumer:
        consumer.assign([TopicPartition(TOPIC, 0)])
        record = next(consumer)
    return record.value, client(stack).get("key")


def client(stack: Stack) -> redis.Redis:
    host, port = stack.redis.split(":")
    return redis.Redis(host=host, port=int(port))


def gone(process: Process, timeout_s: float = 30.0) -> bool:
    """Wait for the end of a process that need not be our child."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return not process.is_alive() or bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that keeps its data, with one record and one key in it."""
    stack = up(tmp_path_factory.mktemp("kept"), persist=True)
    try:
        put(stack, b"kept")
        yield stack
    finally:
        down(stack.folder)


@pytest.mark.kafka
@pytest.mark.redis
def test_a_block_gets_a_stack_that_leaves_nothing_behind(tmp_path: Path) -> None:
    with ephemeral(tmp_path) as stack:
        put(stack, b"x")
        assert get(stack) == (b"x", b"x")
        assert running(tmp_path) == stack
    assert gone(stack.kafka_process)
    assert gone(stack.redis_process)
    assert running(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kafka
@pytest.mark.redis
def test_a_second_up_returns_the_running_stack(kept: Stack) -> None:
    assert up(kept.folder) == running(kept.folder)


@pytest.mark.kafka
@pytest.mark.redis
def test_servers_have_a_session_of_their_own_which_no_terminal_interrupts(kept: Stack) -> None:
    stack = up(kept.folder)
    assert os.getsid(stack.kafka_process.pid) == stack.kafka_process.pid
    assert os.getsid(stack.redis_process.pid) == stack.redis_process.pid


@pytest.mark.kafka
@pytest.mark.redis
def test_up_refuses_a_port_other_than_the_running_one(kept: Stack) -> None:
    with pytest.raises(Refused, match="kafka was asked for on port 1, but runs on"):
        up(kept.folder, kafka_port=1)


@pytest.mark.kafka
@pytest.mark.redis
def test_a_half_dead_stack_is_completed_on_the_same_ports(kept: Stack) -> None:
    before = up(kept.folder)
    os.kill(before.redis_process.pid, 9)
    assert gone(before.redis_process)
    assert running(kept.folder) is None
    after = up(kept.folder)
    assert (after.bootstrap, after.redis) == (before.bootstrap, before.redis)
    assert after.kafka_process == before.kafka_process
    assert get(after) == (b"kept", b"kept")


@pytest.mark.kafka
@pytest.mark.redis
def test_kept_data_survives_down_and_up(kept: Stack) -> None:
    assert down(kept.folder)
    assert running(kept.folder) is None
    assert not down(kept.folder)
    assert get(up(kept.folder)) == (b"kept", b"kept")


@pytest.mark.kafka
@pytest.mark.redis
def test_a_block_does_not_take_over_a_stack_that_is_there(kept: Stack) -> None:
    with pytest.raises(Refused, match="runs or is kept there"), ephemeral(kept.folder):
        pass
    assert running(kept.folder)


@pytest.mark.kafka
@pytest.mark.redis
def test_killing_the_process_ends_the_servers_of_its_block(tmp_path: Path) -> None:
    script = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from undertow.devstack.stack import ephemeral\n"
        "def block():\n"
        "    manager = ephemeral(Path(sys.argv[1]))\n"
        "    manager.__enter__()\n"
        "    keep.append(manager)\n"
        "keep = []\n"
        "thread = threading.Thread(target=block)\n"  # the servers outlive the thread that started them
        "thread.start()\n"
        "thread.join()\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"up\n"
        stack = running(tmp_path)
        assert stack
        parent.kill()
    assert gone(stack.kafka_process)
    assert gone(stack.redis_process)


@pytest.mark.kafka
@pytest.mark.redis
def test_an_interrupt_during_the_start_leaves_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Process] = []

    def interrupt(_server: KafkaServer, process: Process) -> None:
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "await_kafka", interrupt)
    with pytest.raises(KeyboardInterrupt):
        up(tmp_path)
    assert gone(started[0], timeout_s=0)
    assert running(tmp_path) is None
    assert not down(tmp_path)


def test_down_of_nothing_says_so(tmp_path: Path) -> None:
    assert not down(tmp_path)
    assert not down(tmp_path / "absent")


def test_up_refuses_to_keep_the_data_of_a_stack_that_was_not_to_keep_it(tmp_path: Path) -> None:
    alive = Process(pid=os.getpid(), began=began(os.getpid()))
    stack = Stack(folder=tmp_path, bootstrap="", redis="", persist=False, kafka_process=ABSENT, redis_process=alive)
    write(stack)
    with pytest.raises(Refused, match="runs without --persist"):
        up(tmp_path, persist=True)


def test_a_damaged_record_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("")
    with pytest.raises(Refused, match=r"stack\.json was expected"):
        running(tmp_path)


def test_a_recycled_pid_is_not_killed(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as stranger:
        other = Process(pid=stranger.pid, began="1@another boot")
        stack = Stack(folder=tmp_path, bootstrap="", redis="", persist=False, kafka_process=ABSENT, redis_process=other)
        write(stack)
        assert running(tmp_path) is None
        assert not down(tmp_path)
        assert began(stranger.pid) is not None


def test_up_refuses_a_port_that_somebody_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        assert not is_port_free(port)
        with pytest.raises(Refused, match=f"redis was asked for on port {port}"):
            up(tmp_path, redis_port=port)


def test_a_process_is_alive_until_its_last_thread_is_gone() -> None:
    script = (
        "import ctypes, threading\n"
        "threading.Thread(target=input).start()\n"
        "print('up', flush=True)\n"
        f"ctypes.CDLL(None).syscall({EXIT_THREAD}, 0)\n"  # the first thread alone
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        state = Path(f"/proc/{child.pid}/task/{child.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        process = Process(pid=child.pid, began=began(child.pid) or "gone")
        assert process.is_alive()
        child.kill()
        assert gone(process)
