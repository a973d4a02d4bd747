"""What a topic says is known ahead when windows are made, read again only when it is time, whatever fails meanwhile."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observations.conftest import TIME, contract_of, made, plainly
from tests.observations.streaming import _One, plan_of, text
from undertow.adapters.memory_known import MemoryKnown
from undertow.adapters.memory_source import MemoryBroker
from undertow.core.errors import Unavailable
from undertow.observations.known_rows import KnownRows, empty_known, known_form
from undertow.observations.record_json import json_reader
from undertow.observations.spec import WindowSpec
from undertow.observations.streamed import StreamedSeries
from undertow.schemas.contract import Column
from undertow.schemas.records import Partition, Record
from undertow.settings.sections import KafkaSettings
from undertow.stream.events import KnownPassedOver, KnownRead, WindowsLeftOut
from undertow.stream.knowing import Knowing
from undertow.wiring.observed_source import open_records

BEGIN_US, EVERY_US = 1_700_000_000_000_000, 1_000_000
PRICE = Column(name="price")
CONTRACT = contract_of("flow", PRICE, future=(PRICE,), horizon=2, min_length=2)
SPEC = WindowSpec(every="1s")
AHEAD = Partition("ahead", 0)


class World:
    """A stream of observations of one site, and a topic of prices."""

    def __init__(self, *, reads=(), known_seconds=10.0, max_records=512):
        self.now, self.events, self.offset = 1_000.0, [], 0
        self.broker, self.gives_up = MemoryBroker(), False
        self.broker.log(AHEAD)
        plan = plan_of(SPEC, CONTRACT, pa.table({"price": []}))
        self.series = StreamedSeries(plan, empty_known(plan))
        form = known_form(plan)
        self.knowing = Knowing(
            MemoryKnown(self.broker, "ahead", reads=reads, max_records=max_records),
            KnownRows(plan, json_reader(form, some_of=["price"], max_record_bytes=10_000)),
            self.series.know,
            known_seconds=known_seconds,
            tell=self.events.append,
            give_up=lambda: self.gives_up,
            ticks=lambda: self.now,
        )
        self.decode = self.knowing.before(open_records(KafkaSettings(), self.series, self.events.append).decode)

    def forecast(self, price, steps, partition=AHEAD):
        rows = [{"site": "a", TIME: BEGIN_US + step * EVERY_US, "price": price} for step in steps]
        self.broker.append(partition, json.dumps(rows).encode(), appended_us=int(self.now * 1e6))

    def observe(self, step):
        """Return the prices of the windows that an observation completes: of their steps, then ahead."""
        value = json.dumps({"site": "a", TIME: BEGIN_US + step * EVERY_US, "flow": 1.0}).encode()
        record = Record(partition=Partition("readings", 0), offset=self.offset, appended_us=0, value=value)
        windows = self.decode([record]).windows
        self.offset += 1
        return windows.past["price"].tolist(), windows.future["price"].tolist()

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_a_window_has_what_was_known_when_it_was_made():
    world = World()
    world.forecast(1.0, range(9))
    world.observe(0)
    assert world.observe(1) == ([1.0, 1.0], [[1.0, 1.0]])
    world.now += 10
    world.forecast(2.0, range(2, 9))
    assert world.observe(2) == ([1.0, 1.0, 2.0], [[2.0, 2.0]])
    assert [(event.records, event.rows) for event in world.told(KnownRead)] == [(1, 9)]


@pytest.mark.parametrize(("known_seconds", "price"), [(10.0, 1.0), (0.0, 2.0)])
def test_the_topic_is_read_again_when_it_is_time_and_not_before(known_seconds, price):
    world = World(known_seconds=known_seconds)
    world.forecast(1.0, range(9))
    world.observe(0)
    world.now += 9.9
    world.forecast(2.0, range(9))
    assert world.observe(1) == ([price] * 2, [[price] * 2])


def test_until_something_is_known_windows_are_left_out_and_then_made():
    world = World()
    world.observe(0)
    assert world.observe(1) == ([], [])
    world.now += 10
    world.forecast(1.0, range(9))
    assert world.observe(2) == ([1.0] * 3, [[1.0] * 2])
    assert [event.reason for event in world.told(WindowsLeftOut)] == []


def test_a_window_whose_future_is_not_known_whole_is_left_out_and_told_of():
    world = World()
    world.forecast(1.0, range(3))
    world.observe(0)
    assert world.observe(1) == ([], [])
    assert [event.reason for event in world.told(WindowsLeftOut)] == ["not all that is known ahead of them is there"]


def test_new_partitions_are_read_and_bad_rows_are_told_of():
    world = World()
    world.broker.append(AHEAD, b"{")
    world.observe(0)
    world.now += 10
    world.forecast(1.0, range(9), partition=Partition("ahead", 1))
    assert world.observe(1) == ([1.0] * 2, [[1.0] * 2])
    (told,) = world.told(KnownPassedOver)
    assert (told.rows, told.example[:9]) == (1, "ahead-0@0")


def test_what_a_topic_that_was_made_anew_said_before_is_forgotten():
    world = World()
    world.forecast(1.0, range(9))
    world.observe(0)
    world.now += 10
    world.broker.recreate(AHEAD)
    assert world.observe(1) == ([], [])
    world.now += 10
    world.forecast(3.0, range(9))
    assert world.observe(2) == ([3.0] * 3, [[3.0] * 2])
    assert len(world.told(KnownRead)) == 2


def test_where_the_topic_does_not_answer_nothing_is_decoded_and_the_same_records_are_taken_later():
    world = World(reads=[Unavailable("away"), None, Unavailable("away")])
    world.forecast(1.0, range(9))
    with pytest.raises(Unavailable, match="away"):
        world.observe(0)
    world.observe(0)
    world.now += 10
    with pytest.raises(Unavailable, match="away"):
        world.observe(1)
    assert world.observe(1) == ([1.0] * 2, [[1.0] * 2])


def test_a_replica_that_is_to_end_does_not_read_on():
    world = World()
    world.forecast(1.0, range(9))
    world.gives_up = True
    with pytest.raises(Unavailable, match="the replica ends"):
        world.observe(0)
    world.gives_up = False
    world.observe(0)
    assert world.observe(1) == ([1.0] * 2, [[1.0] * 2])
    world.knowing.close()


def test_what_a_registry_kept_from_being_read_is_taken_when_it_answers():
    world = World()
    world.forecast(1.0, range(9))
    read, failures = world.knowing._rows._read, [Unavailable("the registry does not answer")]

    def read_later(records):
        if failures:
            raise failures.pop()
        return read(records)

    world.knowing._rows._read = read_later
    with pytest.raises(Unavailable, match="the registry"):
        world.observe(0)
    world.observe(0)
    assert world.observe(1) == ([1.0] * 2, [[1.0] * 2])


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([1.0, 2.0, None]), st.integers(0, 2)), max_size=30),
    st.integers(1, 3),
)
def test_a_stream_makes_the_windows_of_a_table_of_the_newest_rows(revisions, max_records):
    world, newest = World(max_records=max_records), {}
    for step, price, partition in revisions:
        world.now += 1
        world.forecast(price, [step], partition=Partition("ahead", partition))
        newest[step] = price
    rows = [{"site": "a", TIME: BEGIN_US + step * EVERY_US, "price": price} for step, price in newest.items()]
    known = pa.Table.from_pylist(rows, pa.schema([("site", pa.string()), (TIME, pa.int64()), ("price", pa.float64())]))
    observed = [{"site": "a", TIME: BEGIN_US + step * EVERY_US, "flow": float(step)} for step in range(10)]
    frame = made(pa.Table.from_pylist(observed), CONTRACT, replace(SPEC), known)
    records = [
        Record(partition=Partition("readings", 0), offset=place, appended_us=0, value=json.dumps(row).encode())
        for place, row in enumerate(observed)
    ]
    found = world.decode(records).windows
    assert list(map(text, plainly(_One(found)))) == list(map(text, plainly(frame)))
    assert found.future["price"].tolist() == [
        step for batch in frame.batches() for step in batch.future["price"].tolist()
    ]
