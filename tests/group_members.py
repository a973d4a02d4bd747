"""A consumer group's member that is none of ours: somebody's dashboard, or a script left running."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer

from undertow.settings.sections import KafkaSettings


@contextmanager
def group_member(kafka: KafkaSettings, client_id: str = "somebody") -> Iterator[KafkaConsumer]:
    """Subscribe to the topic in the group, and hold a partition of it until the block ends.

    A topic just made may be unknown to the broker that is asked: the group then hands out nothing until the metadata is
    read again, by default after five minutes.
    """
    member = KafkaConsumer(
        kafka.topic,
        bootstrap_servers=kafka.bootstrap,
        group_id=kafka.group,
        client_id=client_id,
        metadata_max_age_ms=500,
    )
    try:
        while not member.assignment():
            member.poll(timeout_ms=100)
        yield member
    finally:
        member.close()
