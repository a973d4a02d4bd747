"""A real Apache Kafka for one machine: one node that is broker and controller (KRaft).

In: a folder, two ports, limits. Out: a running process. Knows nothing of topics and their content.
"""

import base64
import socket
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from undertow.core.errors import Unavailable
from undertow.devstack.jars import java, kafka_jars
from undertow.devstack.processes import LOCALHOST, Process, await_ready, start, tail

STOP_S = 20.0
NODE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaServer:
    """What to start and where."""

    folder: Path
    port: int
    controller_port: int
    heap_mb: int = 512
    max_message_bytes: int = 16 << 20
    """Default of every topic; `max.message.bytes` of a topic overrides it."""
    is_short_lived: bool = False
    """Compile for a quick start instead of peak speed: half the processor time until it answers."""
    ready_timeout_s: float = 90.0

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{LOCALHOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Where the server writes what it does."""
        return self.folder / "kafka.log"

    @property
    def meta(self) -> Path:
        """Where a prepared data folder says which cluster it belongs to."""
        return self.folder / "data" / "meta.properties"

    @property
    def config(self) -> Path:
        """The broker's properties, written at each start."""
        return self.folder / "server.properties"


def properties(server: KafkaServer) -> dict[str, str]:
    """Return the broker's configuration: one node, no replication, quick groups, topics only on demand."""
    client, controller = f"PLAINTEXT://{server.address}", f"CONTROLLER://{LOCALHOST}:{server.controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE),
        # voters by number: the other form, bootstrap.servers, keeps the port in the data and cannot change it
        "controller.quorum.voters": f"{NODE}@{LOCALHOST}:{server.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{client},{controller}",
        "advertised.listeners": client,
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(server.folder.resolve() / "data"),
        "auto.create.topics.enable": "false",
        # the append time in each record is what append-to-readable latency is measured from
        "log.message.timestamp.type": "LogAppendTime",
        "message.max.bytes": str(server.max_message_bytes),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
    }


def java_command(server: KafkaServer, main_class: str, *arguments: str, is_short_lived: bool) -> list[str]:
    """Return the command line that runs one of Kafka's programs."""
    return [
        str(java()),
        "-Xms64m",
        f"-Xmx{server.heap_mb}m",
        f"-XX:TieredStopAtLevel={1 if is_short_lived else 4}",
        "-XX:-UsePerfData",  # else a file in the system's temporary folder
        "-XX:+UseSerialGC",  # one small heap: the collector with the fewest threads and bytes
        f"-Djava.io.tmpdir={server.folder.resolve()}",  # native codecs unpack here and go with the folder
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        "-cp",
        f"{kafka_jars()}/*",
        main_class,
        *arguments,
    ]


def format_storage(server: KafkaServer) -> None:
    """Prepare an empty data folder."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    arguments = ("format", f"--cluster-id={cluster}", "-c", str(server.config.resolve()))  # an id may begin with "-"
    with server.log.open("ab") as log:
        done = subprocess.run(
            java_command(server, "kafka.tools.StorageTool", *arguments, is_short_lived=True),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"LANG": "C.UTF-8"},
            check=False,
        )
    if done.returncode != 0:
        message = f"Kafka could not prepare its data folder. The end of {server.log}:\n{tail(server.log)}"
        raise Unavailable(message)


def start_kafka(server: KafkaServer, *, leashed: bool = False) -> Process:
    """Start Kafka in its folder, on the data that is there. Returns at once; `await_kafka` waits for it."""
    server.folder.mkdir(parents=True, exist_ok=True)
    server.config.write_text("".join(f"{key}={value}\n" for key, value in properties(server).items()))
    if not server.meta.exists():
        format_storage(server)
    config = str(server.config.resolve())
    command = java_command(server, "kafka.Kafka", config, is_short_lived=server.is_short_lived)
    return start(command, log=server.log, leashed=leashed)


def await_kafka(server: KafkaServer, process: Process) -> None:
    """Return when the broker answers; raise `Unavailable` with the end of its log when it ends or stays silent."""
    ours = server.meta.read_text().splitlines()
    await_ready(
        process,
        lambda: f"cluster.id={cluster_id(server.address)}" in ours,  # another broker may have taken the port
        name="Kafka",
        log=server.log,
        timeout_s=server.ready_timeout_s,
    )


def cluster_id(address: str) -> str | None:
    """Ask the broker which cluster it is; None where none answers. Blocks for seconds at most."""
    host, _, port = address.rpartition(":")
    limits = {"bootstrap_timeout_ms": 2_000, "request_timeout_ms": 5_000}
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
        with KafkaAdminClient(bootstrap_servers=[address], **limits) as admin:
            return str(admin.describe_cluster()["cluster_id"])
    except (KafkaError, OSError):
        return None
