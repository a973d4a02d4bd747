"""Whatever fails, wherever: in the end every record is in the chain once and the newest of each series is online."""

import contextlib
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.adapters.memory_source import Crash
from undertow.core.errors import Replaced, Unavailable
from undertow.schemas.records import Partition

PARTITIONS = [Partition("windows", index) for index in range(3)]
STEPS = st.sampled_from([None, None, None, Crash(), Unavailable("away")])
SCRIPTS = st.fixed_dictionaries(
    {what: st.lists(STEPS, max_size=4) for what in ("polls", "writes", "publishes", "commits")}
)
RECORDS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.integers(0, 30), st.booleans()), min_size=1, max_size=30
)


class Producer:
    """Appends the drawn records bit by bit, and keeps what must come of them."""

    def __init__(self, world, records) -> None:
        self.world, self.records = world, iter(records)
        self.newest: dict[str, int] = {}
        self.fine: dict[int, list[int]] = {partition.index: [] for partition in PARTITIONS}

    def append(self, count):
        for partition, pump, end, broken in itertools.islice(self.records, count):
            if broken:
                self.world.broker.append(PARTITIONS[partition], b"{")
                continue
            name = f"{pump}{partition}"  # one pump lives in one partition, as a producer's key would have it
            self.fine[partition].append(self.world.produce(name, end, partition=partition))
            self.newest[name] = max(self.newest.get(name, -1), end)


def reads_to_the_end(last) -> bool:
    try:
        last.assign(PARTITIONS)
        while last.step():
            pass
        last.checkpoint()
    except Replaced:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(
    records=RECORDS, lives=st.lists(SCRIPTS, max_size=5), poll=st.integers(1, 7), rows=st.integers(1, 9), data=st.data()
)
def test_any_crashes_anywhere_lose_nothing_and_repeat_nothing(new_world, records, lives, poll, rows, data):
    world = new_world()
    producer = Producer(world, records)
    zombies = []
    for script in lives:
        stream = world.stream(**script, max_batch=poll, checkpoint_rows=rows)
        try:
            stream.assign(PARTITIONS)
            for _ in range(data.draw(st.integers(0, 6))):
                producer.append(data.draw(st.integers(0, 5)))
                stream.step()
                world.now += 1.0
        except (Crash, Replaced):
            continue
        zombies.append(stream)  # its successor begins while it still lives

    producer.append(len(records))
    while not reads_to_the_end(world.stream(max_batch=poll)):
        pass  # a zombie's checkpoint, under way since before, was there first: another successor begins behind it
    for zombie in zombies:
        with contextlib.suppress(Replaced, Crash):
            zombie.step()
            zombie.checkpoint()

    assert {p.index: world.offline_offsets(p.index) for p in PARTITIONS} == producer.fine
    assert {key[0]: row.event_us for key, row in world.online.items()} == producer.newest
    rejected = {(reject.record.partition, reject.record.offset) for reject in world.dead_letters.rejects}
    assert len(rejected) == sum(broken for *_, broken in records)
