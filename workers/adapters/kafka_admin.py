"""Queries of the Kafka admin API, and the one change we make: creating a missing topic.

In: settings. Out: plain values; `Refused` with one line where something is not as required. Knows nothing of windows.
For the start of a command, not for the loop: each call opens a new connection.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, KafkaTimeoutError, RetriableError, TopicAlreadyExistsError, for_code

from undertow.adapters.kafka_client import client_options, live_group_message, translate_error
from undertow.adapters.kafka_codecs import require_codec
from undertow.core.errors import Refused
from undertow.core.masking import without
from undertow.schemas.records import Partition
from undertow.settings.broker_names import split_server
from undertow.settings.sections import KafkaSettings
from undertow.settings.tls_files import speaks_tls
from undertow.stream.retry import Retry

T = TypeVar("T")

DEFAULT_PORT = 9092
LOOK_S = 1.0
GIVE_UP_AFTER_S = 10.0
"""How long a broker may be busy, for instance creating its offsets topic for its first group."""
LARGEST_REJECT_BYTES = 8 << 20
HEADROOM_BYTES = 64 << 10
LEAST_REJECT_BYTES = 2 << 10
"""The size of a dead letter that has only the headers with its reason and origin."""
_NO_MEMBERS = ("Empty", "Dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInfo:
    """One topic of one cluster."""

    name: str
    topic_id: str
    """Changes when the topic is deleted and re-created."""
    cluster_id: str
    partitions: int


def require_broker(settings: KafkaSettings) -> None:
    """Connect, and no more. Raises `Refused` or `Unavailable` where that fails, as every other question would."""
    with _open_admin(settings):
        pass


def describe_topic(settings: KafkaSettings, name: str = "") -> TopicInfo:
    """Describe a topic, `kafka.topic` by default. Raises `Refused` where there is none."""
    name = name or settings.topic
    if (topic := find_topic(settings, name)) is None:
        message = (
            f'expected the topic "{name}" (kafka.topic) at {settings.bootstrap}, but there is none; create it: '
            f"undertow produce HISTORY --topic {name} --create-topic 8, or "
            f"kafka-topics.sh --bootstrap-server {settings.bootstrap} --create --topic {name} --partitions 8"
        )
        raise Refused(message)
    return topic


def find_topic(settings: KafkaSettings, name: str = "") -> TopicInfo | None:
    """Describe a topic, `kafka.topic` by default; None where there is none."""
    name = name or settings.topic
    with _open_admin(settings) as admin:
        cluster = ask(settings, "describe its cluster", admin.describe_cluster)
        topic = _find_topic(settings, admin, name)
    if topic is None:
        return None
    return TopicInfo(
        name=name,
        topic_id=str(topic["topic_id"]),
        cluster_id=cluster["cluster_id"],
        partitions=len(topic["partitions"]),
    )


def ensure_topic(
    settings: KafkaSettings, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
) -> None:
    """Create a topic if it does not exist; an existing one is unchanged. Returns when it can be written to."""
    with _open_admin(settings) as admin:
        if _find_topic(settings, admin, name) is None:
            wanted = {name: {"num_partitions": partitions, "configs": dict(config or {})}}
            ask(settings, f"create the topic {name}", lambda: _create(admin, wanted))
        ask(settings, f"elect leaders for the topic {name}", lambda: admin.wait_for_topics([name]))


def ensure_dead_letters(settings: KafkaSettings) -> None:
    """Create the dead-letter topic if it does not exist, with room for the largest record of the source topic.

    Raises `Refused` for one that cannot take a dead letter.
    """
    room = max(LARGEST_REJECT_BYTES, int(_topic_config(settings, settings.topic, "max.message.bytes"))) + HEADROOM_BYTES
    config = {"max.message.bytes": str(room), "cleanup.policy": "delete"}
    ensure_topic(settings, settings.dead_letter_topic, config=config)
    describe_dead_letters(settings)


def describe_dead_letters(settings: KafkaSettings) -> str:
    """Describe the dead-letter topic in words. Raises `Refused` for one that cannot take a dead letter."""
    name = settings.dead_letter_topic
    if find_topic(settings, name) is None:
        return f"there is no topic {name} yet; undertow run makes it"
    most = int(_topic_config(settings, name, "max.message.bytes"))
    if most < LEAST_REJECT_BYTES:
        message = (
            f'expected the topic "{name}" (kafka.dead_letters) to take letters of {LEAST_REJECT_BYTES:,} bytes, but '
            f"its max.message.bytes is {most:,}: raise it with kafka-configs.sh"
        )
        raise Refused(message)
    policy = _topic_config(settings, name, "cleanup.policy")
    return f"topic {name} keeps {most:,} bytes of a record at most (max.message.bytes), cleanup.policy {policy}"


def require_topic_codec(settings: KafkaSettings) -> None:
    """Raise `Refused` where the topic's `compression.type` is a codec whose package is not installed."""
    codec = _topic_config(settings, settings.topic, "compression.type")
    require_codec(codec, of=f'the topic "{settings.topic}" (its compression.type)')


def _topic_config(settings: KafkaSettings, topic: str, name: str) -> str:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    with _open_admin(settings) as admin:
        answer = ask(settings, "describe the topic", lambda: admin.describe_configs([resource], config_filter="all"))
    return str(answer["topic"][topic][name]["value"])


def group_has_members(settings: KafkaSettings) -> list[str]:
    """Return the members of the consumer group `kafka.group`, one line each."""
    with _open_admin(settings) as admin:
        group = ask(settings, "describe the group", lambda: admin.describe_groups([settings.group]))[settings.group]
        if group["members"]:
            return [f"{member['client_id']} at {member['client_host'].lstrip('/')}" for member in group["members"]]
        # Members of the newer group protocol (KIP-848) show only in the list of groups.
        groups = ask(settings, "list its groups", admin.list_groups)
    return [
        f"members unknown, state {group['group_state']}"
        for group in groups
        if group["group_id"] == settings.group and group["group_state"] not in _NO_MEMBERS
    ]


def refuse_live_group(settings: KafkaSettings) -> None:
    """Raise `Refused` where the consumer group `kafka.group` has members."""
    if members := group_has_members(settings):
        raise Refused(live_group_message(settings, f" ({'; '.join(members)})"))


def committed(settings: KafkaSettings, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return the committed offsets of `kafka.group`; partitions without one are omitted."""
    asked = {TopicPartition(p.topic, p.index): p for p in partitions}
    with _open_admin(settings) as admin:
        offsets = ask(
            settings, "list committed offsets", lambda: admin.list_group_offsets({settings.group: list(asked)})
        )[settings.group]
    return {asked[tp]: found.offset for tp, found in offsets.items() if found.offset >= 0}


def end_offsets(settings: KafkaSettings, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return the offset that the next record of each partition will get."""
    asked = {TopicPartition(p.topic, p.index): p for p in partitions}
    latest = dict.fromkeys(asked, OffsetSpec.LATEST)
    with _open_admin(settings) as admin:
        ends = ask(settings, "list end offsets", lambda: admin.list_partition_offsets(latest))
    return {asked[tp]: found.offset for tp, found in ends.items()}


@contextmanager
def _open_admin(settings: KafkaSettings) -> Iterator[Any]:
    try:
        admin = KafkaAdminClient(**client_options(settings, KafkaAdminClient))
    except KafkaTimeoutError as error:
        if not settings.has_tls and (server := _speaking_tls(settings.bootstrap)):
            protocol = f"{'SASL_SSL' if settings.given(('sasl_mechanism',)) else 'SSL'}"
            message = (
                f"Kafka at {server} (kafka.bootstrap) speaks TLS there, and we do not: kafka.security_protocol = "
                f"{protocol}, and kafka.ca_file where its authority is one of your own"
            )
            raise Refused(message) from error
        message = (
            f"expected a Kafka broker at {settings.bootstrap} (kafka.bootstrap), but none answered: "
            f"{without(str(error.args[0]), settings.secrets())}; one for this machine: undertow up"
        )
        raise Refused(message) from error
    except KafkaError as error:
        raise translate_error(error, "connect", settings) from error
    try:
        yield admin
    finally:
        admin.close()


def _speaking_tls(bootstrap: str) -> str:
    """Return the first of the servers that uses TLS, empty where none does."""
    for server in bootstrap.split(","):
        host, port = split_server(server.strip())
        if speaks_tls(host, int(port or DEFAULT_PORT), LOOK_S):
            return server.strip()
    return ""


def ask(settings: KafkaSettings, doing: str, question: Callable[[], T]) -> T:
    """Send a request, retrying while the broker is busy. Its errors are translated into ours."""
    try:
        return Retry(on=RetriableError, for_s=GIVE_UP_AFTER_S)(question)
    except KafkaError as error:
        raise translate_error(error, doing, settings) from error


def _find_topic(settings: KafkaSettings, admin: Any, name: str) -> dict[str, Any] | None:
    def look() -> dict[str, Any] | None:
        (topic,) = admin.describe_topics([name])
        if topic["error_code"] == _UNKNOWN_TOPIC:
            return None
        if topic["error_code"]:
            raise for_code(topic["error_code"])(name)
        return dict(topic)

    return ask(settings, f"describe the topic {name}", look)


_UNKNOWN_TOPIC = 3


def _create(admin: Any, wanted: dict[str, Any]) -> None:
    try:
        admin.create_topics(wanted)
    except TopicAlreadyExistsError:  # somebody else was faster
        return
