"""Detect that a topic was deleted and re-created under the same name, by its topic id (KIP-516).

In: a consumer, the topic's id. Out: nothing, or `Refused` where the broker returns another id. Knows nothing of
records. Thread-safe.

kafka-python fetches by topic name. A topic that is quickly re-created would be read from the old position on, and the
records before it never. So the id is requested at every assignment, and again after records are read and before they
are durable: the answer to a request sent after a fetch applies to the topic that was fetched from.
"""

import time
from typing import Any

from kafka.errors import KafkaError, NodeNotReadyError
from kafka.protocol.metadata import MetadataRequest

from undertow.adapters.kafka_client import translate_error
from undertow.adapters.kafka_connections import KafkaConnections
from undertow.core.errors import Diverged, Refused
from undertow.settings.sections import KafkaSettings

ANSWER_MS = 10_000
SILENT_S = 10.0
"""No answer for this long is reported: a broker answers each fetch within a fraction of a second, even an empty one."""
DOUBTS, DOUBT_S = 3, 1.0
"""A broker that has just started may give stale answers: this many in a row are believed."""


class SameTopic:
    """Checks that a consumer reads one topic id. Without an id, as with brokers before 2.8, every check passes."""

    def __init__(self, settings: KafkaSettings, topic_id: str) -> None:
        """Start without a consumer."""
        self._settings, self._expected = settings, topic_id
        self._consumer: Any = None
        self._was_away = False
        self._links = KafkaConnections()

    def watch(self, consumer: Any) -> None:
        """Use this consumer from now on."""
        self._consumer = consumer
        self._links.watch(consumer)

    def ask(self) -> Any:
        """Send a request to the broker; return the argument of `require_answer`. Does not block."""
        consumer = self._consumer
        return consumer, consumer._manager.call_soon(self._look, consumer)  # noqa: SLF001 no public call asks for one topic

    def require(self) -> None:
        """Ask the broker and wait. Raises `Refused` for another topic, `Unavailable` without an answer."""
        if not self._expected:
            return
        try:
            self._judge(self.ask())
        except KafkaError as error:
            raise translate_error(error, f"tell the id of {self._settings.topic}", self._settings) from error

    def require_answer(self, asked: Any) -> None:
        """Wait for the answer. Raises `Refused` for another topic; returns without an answer."""
        if not self._expected:
            return
        try:
            self._judge(asked)
        except (KafkaError, RuntimeError):  # the consumer may have been closed or replaced meanwhile
            return

    def is_in_doubt(self) -> bool:
        """Return whether cached metadata has another id, or a broker was reconnected to since the last call."""
        self._was_away = self._links.are_renewed()
        return self._was_away or self._has_changed()

    def silence(self) -> str | None:
        """Return for how long no broker has answered, in words; None below `SILENT_S`."""
        seconds = self._links.silent_s()
        if seconds < SILENT_S:
            return None
        return f"Kafka at {self._settings.bootstrap} (kafka.bootstrap) has not answered for {seconds:.0f} s"

    def require_unbroken(self) -> None:
        """Raise `Refused` for another topic, `Diverged` where a broker was down and may have lost records."""
        self.require()
        if self._was_away:
            message = f"a broker was away, and may hold less of {self._settings.topic} than was read"
            raise Diverged(message)

    def _has_changed(self) -> bool:
        heard = self._consumer._cluster.topic_id(self._settings.topic)  # noqa: SLF001 costs nothing: checked at each poll
        return bool(self._expected) and heard is not None and str(heard) != self._expected

    def _judge(self, asked: Any) -> None:
        for doubts in range(DOUBTS):
            if doubts:  # no retry of what failed: another answer than ours must come more than once
                time.sleep(DOUBT_S)
                asked = self.ask()
            consumer, answer = asked
            found = consumer._net.run(consumer._manager.wait_for, answer, ANSWER_MS)  # noqa: SLF001 as `ask`
            if found is None or found == self._expected:
                return
        message = (
            f'the topic "{self._settings.topic}" was deleted and made anew: its id was {self._expected}, now {found}. '
            "Its offsets begin again, so nothing more is read; start the fleet again to be told what to do"
        )
        raise Refused(message)

    async def _look(self, consumer: Any) -> str | None:
        """Return the id, None where there is no such topic, or the broker has no ids."""
        found = await topic_metadata(consumer, self._settings.topic)
        return None if found is None or found.error_code or found.topic_id is None else str(found.topic_id)


async def topic_metadata(consumer: Any, name: str) -> Any:
    """Ask a broker for what it knows of one topic: its error code, id and partitions; None where it says nothing."""
    manager = consumer._manager  # noqa: SLF001 no public call asks for one topic
    if (node := manager.least_loaded_node()) is None:
        raise NodeNotReadyError
    # The consumer's own metadata request is for its assignment, which at first is empty.
    request = MetadataRequest(
        topics=[MetadataRequest.MetadataRequestTopic(name=name)],
        allow_auto_topic_creation=False,
        include_cluster_authorized_operations=False,
        include_topic_authorized_operations=False,
    )
    response = await manager.send(request, node)
    return next((topic for topic in response.topics if topic.name == name), None)
