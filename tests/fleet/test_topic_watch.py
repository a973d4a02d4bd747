"""What a running fleet makes of the broker's answers about its topic."""

from undertow.adapters.kafka_admin import TopicInfo
from undertow.core.errors import Unavailable
from undertow.fleet.topic_watch import DOUBTS, TopicWatch
from undertow.schemas.records import Partition

OURS = TopicInfo(name="windows", topic_id="ours", cluster_id="c", partitions=3)
OTHER = TopicInfo(name="windows", topic_id="other", cluster_id="c", partitions=3)


class Listener:
    def __init__(self, *answers):
        self.answers, self.partitions, self.failure = list(answers), [], None

    def ask(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def look_at_all(self):
        watch = TopicWatch("ours", ask=self.ask, grow=self.grow, fail=self.fail)
        return [watch.look() for _ in range(len(self.answers))]

    def grow(self, partitions):
        self.partitions = list(partitions)

    def fail(self, reason):
        self.failure = reason


def test_every_partition_there_is_is_told():
    listener = Listener(OURS)
    listener.look_at_all()
    assert listener.partitions == [Partition("windows", index) for index in range(3)]


def test_a_broker_that_does_not_answer_says_nothing():
    listener = Listener(*[Unavailable("away")] * 10)
    listener.look_at_all()
    assert (listener.partitions, listener.failure) == ([], None)


def test_a_topic_that_is_gone_or_made_anew_ends_the_fleet_once_it_is_beyond_doubt():
    for answer, said in ((None, "none any more"), (OTHER, "id other")):
        listener = Listener(*[answer] * DOUBTS)
        assert listener.look_at_all() == [False] * DOUBTS
        assert said in listener.failure
        assert listener.partitions == []


def test_a_broker_that_is_wrong_for_a_moment_ends_nothing():
    listener = Listener(*[None] * (DOUBTS - 1), OURS, *[OTHER] * (DOUBTS - 1))
    listener.look_at_all()
    assert listener.failure is None
