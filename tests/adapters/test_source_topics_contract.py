"""What every source promises of a topic that is deleted and made anew (the fixture `broker`)."""

import pytest

from tests.adapters.test_source_contract import POLLS, poll_until, read, window
from undertow.core.errors import Refused
from undertow.schemas.records import Partition
from undertow.stream.ports import Source


def poll_and_ask(source: Source) -> None:
    for _ in range(POLLS):
        if source.poll(0.5) is not None:
            source.ask_again()()


@pytest.fixture
def quick_doubts(monkeypatch):
    monkeypatch.setattr("undertow.adapters.kafka_topic_id.DOUBT_S", 0.05)


@pytest.mark.usefixtures("quick_doubts")
def test_nothing_is_kept_of_a_topic_that_was_made_anew_with_more_records_than_were_read(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    source = broker.source()
    source.assign({p0: 0})
    read(source, 3)
    source.ask_again()()
    broker.recreate()
    for number in range(9):
        broker.append(0, window(number))
    with pytest.raises(Refused, match=f'"{broker.topic}" was deleted and made anew'):
        poll_and_ask(source)


@pytest.mark.usefixtures("quick_doubts")
def test_a_place_in_a_topic_is_no_place_in_the_one_that_was_made_anew(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    source = broker.source()
    broker.recreate()
    for number in range(9):
        broker.append(0, window(number))
    with pytest.raises(Refused, match=f'"{broker.topic}" was deleted and made anew'):
        source.assign({p0: 3})


@pytest.mark.usefixtures("quick_doubts")
def test_a_record_of_a_topic_that_was_made_anew_is_not_told_as_lost_by_the_broker(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    source = broker.source()
    source.assign({p0: 0})
    mark = poll_until(source, lambda found: bool(found) and p0 in found[-1].marks)[-1].marks[p0]
    successor = broker.source()
    assert successor.holds({p0: mark}) == {p0: True}
    broker.recreate()
    for number in range(9):
        broker.append(0, window(number + 100))
    with pytest.raises(Refused, match=f'"{broker.topic}" was deleted and made anew'):
        successor.holds({p0: mark})


def test_an_offset_that_was_committed_for_a_topic_that_is_gone_is_passed_over(broker):
    p0 = Partition(broker.topic, 0)
    for number in range(3):
        broker.append(0, window(number))
    zombie = broker.source(view="pumps__aaaaaaaa")
    zombie.assign({p0: 0})
    broker.recreate()
    for number in range(9):
        broker.append(0, window(number))
    zombie.commit({p0: 3})
    assert broker.committed(0) == 3
    assert broker.source(view="pumps__aaaaaaaa").assign({p0: None}) == {p0: 0}
