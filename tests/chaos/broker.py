"""What a chaos run asks of the broker: records, and changes that an operator or retention makes.

In: settings. Out: records as the checker needs them. Every call tries again until the broker answers.
"""

import contextlib
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import (
    InvalidPartitionsError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from tests.chaos.messages import NUMBER
from tests.chaos.places import Lane, Place, Planted
from tests.chaos.windows import POISON
from undertow.adapters.kafka_admin import find_topic
from undertow.adapters.kafka_dead_letters import PREFIX
from undertow.adapters.kafka_guard import Guard, UnreadableAtError
from undertow.core.errors import Unavailable
from undertow.settings.sections import KafkaSettings

T = TypeVar("T")
GIVE_UP_AFTER_S, AGAIN_S, ANSWER_MS = 300.0, 0.2, 10_000
LARGEST_BATCH = 1 << 30


class Broker:
    """The topic of a run, and what was seen of it before it was deleted."""

    def __init__(self, settings: KafkaSettings, partitions: int) -> None:
        self._settings = settings
        self.partitions = partitions
        self.numbers: dict[Place, int] = {}
        """The number of the message at each place that was looked at, where it has one."""
        self.values: dict[Place, bytes] = {}
        """All records that were looked at, but for what was planted."""
        self.poison: set[Place] = set()
        self.deleted: dict[Lane, list[int]] = defaultdict(list)
        """Below which offsets everything was deleted, one time after the other."""
        self.deleted_us: dict[Lane, list[int]] = defaultdict(list)
        """When."""
        self.gone: dict[Lane, int] = {}
        """Of topics that were deleted whole: how far each chain had got before."""
        self.writing = threading.Lock()
        """Held by who writes windows, and by who deletes the topic: then what was looked at is all that it held."""
        self.hurry_until = 0.0
        """By the monotonic clock, until when windows are to be written as fast as can be."""
        self.planted: list[Planted] = []
        """What is no window, and of which some no client can read."""
        self._next: dict[int, int] = defaultdict(int)
        self._ids: list[str] = []
        self._ids.append(persist(self._topic_id))
        self._began_us = [0]

    @property
    def generation(self) -> int:
        """How many topics of this name there were before the one that there is."""
        return len(self._ids) - 1

    def generation_of(self, topic_id: str) -> int:
        """Return the generation of a topic by its id."""
        return self._ids.index(topic_id)

    def generation_at(self, us: int) -> int:
        """Return the generation of a topic to which a record was appended at some time."""
        return bisect_right(self._began_us, us) - 1

    def plant(self, one: Planted) -> None:
        """Take in what was sent that is no window."""
        self.planted.append(one)
        self.poison.update(one.letters)

    def look(self) -> None:
        """Take in all records there are by now and that were not taken in before."""
        persist(self._look)

    def delete_all(self, partition: int) -> None:
        """Delete what a partition holds, as retention does. What it was is looked at first."""
        persist(lambda: self._delete_all(partition))

    def make_anew(self, partitions: int, chain_ends: Callable[[], Mapping[Lane, int]], hurry_s: float) -> None:
        """Delete the topic and make another of its name, to which producers write at once; look at the old one first.

        Nobody writes meanwhile. `chain_ends` tells how far the chain of each partition has got.
        """
        with self.writing:
            self.look()
            self.gone |= {Lane(index, self.generation): 0 for index in range(self.partitions)} | {**chain_ends()}
            persist(self._delete_topic)
            self._began_us.append(time.time_ns() // 1000)
            persist(lambda: self._create_topic(partitions))
            self._ids.append(persist(self._topic_id))
            self.partitions = partitions
            self._next.clear()
            self.hurry_until = time.monotonic() + hurry_s

    def add_partitions(self, count: int) -> None:
        """Let the topic have so many."""
        persist(lambda: self._add_partitions(count))
        self.partitions = count

    def commit_zero(self) -> None:
        """Move the group's committed offsets back to the beginning."""
        persist(self._commit_zero)

    def letters(self) -> list[tuple[Place, str]]:
        """Return where each dead letter came from, and its reason; one may be there more than once.

        Of the topic it tells the name alone, but also when the record was appended.
        """
        found: list[tuple[Place, str]] = []

        def read() -> None:
            found.clear()
            for record in self._records(self._settings.dead_letter_topic, {0: 0}):
                told = dict(record.headers)
                partition, offset, at_us = (
                    int(told[PREFIX + name]) for name in ("partition", "offset", "timestamp_us")
                )
                reason = told[f"{PREFIX}reason"].decode()
                found.append((Place(partition, offset, self.generation_at(at_us)), reason))

        persist(read)
        return found

    def _look(self) -> None:
        starts = {index: self._next[index] for index in range(self.partitions)}
        for record in self._records(self._settings.topic, starts):
            place = Place(record.partition, record.offset, self.generation)
            if not any(place in one.places for one in self.planted):
                self.values[place] = record.value
                if (number := dict(record.headers).get(NUMBER)) is not None:
                    self.numbers[place] = int(number)
                if record.value.startswith(POISON):
                    self.poison.add(place)
            self._next[record.partition] = record.offset + 1

    def _delete_all(self, partition: int) -> None:
        self._look()
        upto = self._next[partition]
        begun_us = time.time_ns() // 1000
        with self._admin() as admin:
            admin.delete_records({TopicPartition(self._settings.topic, partition): upto}, timeout_ms=ANSWER_MS)
        self.deleted[Lane(partition, self.generation)].append(upto)
        self.deleted_us[Lane(partition, self.generation)].append(begun_us)

    def _delete_topic(self) -> None:
        with (
            self._admin() as admin,
            contextlib.suppress(UnknownTopicOrPartitionError),
        ):  # an answer was lost: it is gone
            admin.delete_topics([self._settings.topic], timeout_ms=ANSWER_MS)

    def _create_topic(self, partitions: int) -> None:
        topic = NewTopic(self._settings.topic, num_partitions=partitions, replication_factor=1)
        with self._admin() as admin, contextlib.suppress(TopicAlreadyExistsError):
            admin.create_topics([topic], timeout_ms=ANSWER_MS)

    def _topic_id(self) -> str:
        """Return the id of the topic that there is. Raises `Unavailable` while the broker tells of an earlier one."""
        topic = find_topic(self._settings)
        if topic is None or topic.topic_id in self._ids:
            message = f"{self._settings.topic} is not there yet"
            raise Unavailable(message)
        return topic.topic_id

    def _add_partitions(self, count: int) -> None:
        with self._admin() as admin, contextlib.suppress(InvalidPartitionsError):  # an answer was lost: they are there
            admin.create_partitions({self._settings.topic: count}, timeout_ms=ANSWER_MS)

    def _records(self, topic: str, starts: dict[int, int]) -> Any:
        """Yield the records from these offsets on, or from where the log begins, to where it ends now."""
        consumer = KafkaConsumer(bootstrap_servers=self._settings.bootstrap, enable_auto_commit=False)
        try:
            places = [TopicPartition(topic, index) for index in starts]
            guard = Guard(max_unpacked_bytes=LARGEST_BATCH, max_poll_bytes=LARGEST_BATCH)
            guard.watch(consumer)
            planted = [one for one in self.planted if one.generation == self.generation]
            for one in planted if topic == self._settings.topic else ():
                guard.failed(UnreadableAtError(TopicPartition(topic, one.partition), one.first, "planted"))
            consumer.assign(places)
            begins = consumer.beginning_offsets(places, timeout_ms=ANSWER_MS)
            ends = consumer.end_offsets(places, timeout_ms=ANSWER_MS)
            for place in places:
                consumer.seek(place, max(starts[place.partition], begins[place]))
            while any(consumer.position(place) < end for place, end in ends.items()):
                for batch in consumer.poll(timeout_ms=1000).values():
                    yield from batch
        finally:
            consumer.close()

    def _commit_zero(self) -> None:
        group = self._settings.group
        consumer = KafkaConsumer(bootstrap_servers=self._settings.bootstrap, group_id=group, enable_auto_commit=False)
        try:
            partitions = [TopicPartition(self._settings.topic, index) for index in range(self.partitions)]
            consumer.assign(partitions)
            consumer.commit({each: OffsetAndMetadata(0, "", -1) for each in partitions}, timeout_ms=ANSWER_MS)
        finally:
            consumer.close()

    def _admin(self) -> Any:
        return KafkaAdminClient(bootstrap_servers=self._settings.bootstrap)


def persist(act: Callable[[], T]) -> T:
    """Do it, again and again for as long as a broker may need to come back."""
    give_up_at = time.monotonic() + GIVE_UP_AFTER_S
    while True:
        try:
            return act()
        except (KafkaError, Unavailable, AssertionError, OSError):
            if time.monotonic() > give_up_at:
                raise
            time.sleep(AGAIN_S)
