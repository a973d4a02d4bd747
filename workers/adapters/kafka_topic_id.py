"""Whether the topic that a consumer reads is still the one that is meant, and not another of the same name.

In: a consumer, the id that the topic had (KIP-516). Out: nothing, or `Refused` where the broker names another id. Knows
nothing of records. Any thread may ask.

kafka-python fetches by the name of a topic. One that is deleted and made anew quickly would be read on at the old
position, and what lies before it never. So the id is asked for at every assignment, and again between what was read and
its being kept: an answer to a question that was put after a fetch tells of the topic that was fetched from.
"""

import time
from typing import Any

from kafka.errors import KafkaError, NodeNotReadyError
from kafka.protocol.metadata import MetadataRequest

from undertow.adapters.kafka_client import in_our_words
from undertow.adapters.kafka_links import Links
from undertow.core.errors import Diverged, Refused
from undertow.settings.sections import KafkaSettings

ANSWER_MS = 10_000
SILENT_S = 10.0
"""A broker answers each fetch within a fraction of a second, also where there is nothing to read."""
DOUBTS, DOUBT_S = 3, 1.0
"""A broker that has just started may tell of yesterday: so many answers in a row are believed."""


class SameTopic:
    """Holds a consumer to one topic. Without an id, as from brokers before 2.8, everything passes."""

    def __init__(self, settings: KafkaSettings, topic_id: str) -> None:
        """Watch no consumer yet."""
        self._settings, self._expected = settings, topic_id
        self._consumer: Any = None
        self._was_away = False
        self._links = Links()

    def watch(self, consumer: Any) -> None:
        """Ask through this consumer from now on."""
        self._consumer = consumer
        self._links.watch(consumer)

    def ask(self) -> Any:
        """Begin to ask the broker; return what `require` takes. Blocks for nothing."""
        consumer = self._consumer
        return consumer, consumer._manager.call_soon(self._look, consumer)  # noqa: SLF001 no public call asks for one topic

    def require(self) -> None:
        """Ask the broker and wait. Raises `Refused` where it is another topic, `Unavailable` where none answers."""
        if not self._expected:
            return
        try:
            self._judge(self.ask())
        except KafkaError as error:
            raise in_our_words(error, f"tell the id of {self._settings.topic}", self._settings) from error

    def require_answer(self, asked: Any) -> None:
        """Wait for the answer to what was asked. Raises `Refused` where it is another topic; no answer is none."""
        if not self._expected:
            return
        try:
            self._judge(asked)
        except (KafkaError, RuntimeError):  # the consumer may have been closed or replaced meanwhile
            return

    def is_in_doubt(self) -> bool:
        """Tell whether the broker has named another id by the way, or was away since the last call."""
        self._was_away = self._links.are_renewed()
        return self._was_away or self._has_changed()

    def silence(self) -> str | None:
        """Return for how long no broker has answered, in words, None where that is not long."""
        seconds = self._links.silent_s()
        if seconds < SILENT_S:
            return None
        return f"Kafka at {self._settings.bootstrap} (kafka.bootstrap) has not answered for {seconds:.0f} s"

    def require_unbroken(self) -> None:
        """Raise `Refused` where it is another topic, `Diverged` where its records may be others: a broker was away."""
        self.require()
        if self._was_away:
            message = f"a broker was away, and may hold less of {self._settings.topic} than was read"
            raise Diverged(message)

    def _has_changed(self) -> bool:
        heard = self._consumer._cluster.topic_id(self._settings.topic)  # noqa: SLF001 costs nothing, so each poll looks
        return bool(self._expected) and heard is not None and str(heard) != self._expected

    def _judge(self, asked: Any) -> None:
        for doubts in range(DOUBTS):
            if doubts:
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
        """Return the id, None where there is no such topic, or the broker knows no ids."""
        manager = consumer._manager  # noqa: SLF001 as `ask`
        if (node := manager.least_loaded_node()) is None:
            raise NodeNotReadyError
        # The consumer's own request is for what it is assigned, which at first is nothing.
        topics = [MetadataRequest.MetadataRequestTopic(name=self._settings.topic)]
        request = MetadataRequest(
            topics=topics,
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
        )
        response = await manager.send(request, node)
        ids = {topic.name: topic.topic_id for topic in response.topics if not topic.error_code}
        found = ids.get(self._settings.topic)
        return None if found is None else str(found)
