"""What a chaos run asks of the broker: records, and changes that an operator or retention makes.

In: settings. Out: records as the checker needs them. Every call tries again until the broker answers.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import InvalidPartitionsError, KafkaError

from tests.chaos.places import Place, Planted
from tests.chaos.windows import POISON
from workers.adapters.kafka_dead_letters import PREFIX
from workers.adapters.kafka_guard import Guard, UnreadableAtError
from workers.sections import KafkaSettings

T = TypeVar("T")
PATIENCE_S, AGAIN_S, ANSWER_MS = 300.0, 0.2, 10_000
LARGEST_BATCH = 1 << 30


class Broker:
    """The topic of a run, and what was seen of it before it was deleted."""

    def __init__(self, settings: KafkaSettings, partitions: int) -> None:
        self._settings = settings
        self.partitions = partitions
        self.windows: dict[Place, int] = {}
        """The number of the window at each place that was looked at."""
        self.poison: set[Place] = set()
        self.deleted: dict[int, list[int]] = defaultdict(list)
        """By partition: below which offsets everything was deleted, one time after the other."""
        self.planted: list[Planted] = []
        """What is no window, and of which some no client can read."""
        self._next: dict[int, int] = defaultdict(int)

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

    def add_partitions(self, count: int) -> None:
        """Let the topic have so many."""
        persist(lambda: self._add_partitions(count))
        self.partitions = count

    def commit_zero(self) -> None:
        """Move the group's committed offsets back to the beginning."""
        persist(self._commit_zero)

    def rejects(self) -> list[Place]:
        """Return where each dead letter came from; one may be there more than once."""
        found: list[Place] = []

        def read() -> None:
            found.clear()
            for record in self._records(self._settings.dead_letter_topic, {0: 0}):
                told = dict(record.headers)
                found.append((int(told[f"{PREFIX}partition"]), int(told[f"{PREFIX}offset"])))

        persist(read)
        return found

    def _look(self) -> None:
        starts = {index: self._next[index] for index in range(self.partitions)}
        for record in self._records(self._settings.topic, starts):
            place = (record.partition, record.offset)
            if record.value.startswith(POISON):
                self.poison.add(place)
            elif not any(place in one.places for one in self.planted):
                self.windows[place] = int(record.key)
            self._next[record.partition] = record.offset + 1

    def _delete_all(self, partition: int) -> None:
        self._look()
        upto = self._next[partition]
        with self._admin() as admin:
            admin.delete_records({TopicPartition(self._settings.topic, partition): upto}, timeout_ms=ANSWER_MS)
        self.deleted[partition].append(upto)

    def _add_partitions(self, count: int) -> None:
        with self._admin() as admin, contextlib.suppress(InvalidPartitionsError):  # an answer was lost: they are there
            admin.create_partitions({self._settings.topic: count}, timeout_ms=ANSWER_MS)

    def _records(self, topic: str, starts: dict[int, int]) -> Any:
        """Yield the records from these offsets on, or from where the log begins, to where it ends now."""
        consumer = KafkaConsumer(bootstrap_servers=self._settings.bootstrap, enable_auto_commit=False)
        try:
            places = [TopicPartition(topic, index) for index in starts]
            guard = Guard(batch_bytes=LARGEST_BATCH, poll_bytes=LARGEST_BATCH)
            guard.watch(consumer)
            for one in self.planted if topic == self._settings.topic else ():
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
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except (KafkaError, AssertionError, OSError):
            if time.monotonic() > give_up_at:
                raise
            time.sleep(AGAIN_S)
