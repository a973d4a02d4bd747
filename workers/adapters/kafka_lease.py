"""A fleet's heartbeat in Kafka, for all readers of a topic and group: text in a committed offset's metadata.

In: settings, texts. Out: the last text written. Knows nothing of its writers and its meaning.

The offset is that of a group of its own, `<kafka.group>.fleet`, on partition 0 of the topic. So it needs no additional
service or topic, and never moves an offset that is read from. The offset is the partition's end: tools that list all
groups show no lag. Needs the right to read with that group. One write is one request of 0.2 kB to the group's
coordinator and one for the partition's end.
"""

from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import NoError
from kafka.structs import OffsetAndMetadata

from undertow.adapters.kafka_admin import ask
from undertow.adapters.kafka_client import client_options
from undertow.settings.sections import KafkaSettings


class KafkaLease:
    """Reads and writes the text. One thread owns it; it connects when first used."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._admin: Any = None
        self._group, self._place = f"{settings.group}.fleet", TopicPartition(settings.topic, 0)

    def read(self) -> str:
        """Return the last text, empty where there is none. Raises `Unavailable` or `Refused`."""

        def look() -> Any:
            return self._connected().list_group_offsets({self._group: [self._place]})[self._group]

        found = ask(self._settings, f"list the offsets of {self._group}", look)
        return str(found[self._place].metadata or "") if self._place in found else ""

    def write(self, text: str) -> None:
        """Replace it. Raises `Unavailable` or `Refused`."""

        def commit() -> None:
            admin = self._connected()
            end = admin.list_partition_offsets({self._place: OffsetSpec.LATEST})[self._place].offset
            answer = admin.alter_group_offsets(self._group, {self._place: OffsetAndMetadata(end, text, -1)})
            if answer[self._place] is not NoError:
                raise answer[self._place]

        ask(self._settings, f"commit an offset of {self._group}", commit)

    def close(self) -> None:
        """Close. Idempotent."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _connected(self) -> Any:
        if self._admin is None:
            self._admin = KafkaAdminClient(**client_options(self._settings, KafkaAdminClient))
        return self._admin
