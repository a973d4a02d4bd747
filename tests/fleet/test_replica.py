"""A replica of several artifacts without Ray: streams on one broker in memory, each with stores of its own."""

import threading

import pytest

from tests.fleet.one_replica import PARTITIONS, PUMPS, SIZE, VALVES, Running, World, fails_when
from undertow.adapters.memory_source import Crash
from undertow.core.errors import Refused


@pytest.fixture
def world():
    return World()


@pytest.fixture
def both(world):
    """Start a replica of both artifacts that reads everything; the scripts are those of the valves."""
    started = []

    def start(drain_timeout_seconds=60.0, **scripts):
        openers = {PUMPS: world.opener(PUMPS), VALVES: world.opener(VALVES, **scripts)}
        running = Running(openers, drain_timeout_seconds)
        started.append(running)
        running.replica.assign(PARTITIONS, SIZE)
        return running

    yield start
    for running in started:
        running.replica.drain(SIZE)
        for store in world.online.values():
            store.is_away = False
        running.thread.join(20)


def parts_of(status):
    return {part.artifact: part for part in status.artifacts}


def test_each_artifact_gets_every_record_and_refuses_for_itself_alone(world, both):
    world.produce(6, flow=[1.0], head=[2.0])
    world.produce(4, flow=[3.0])
    running = both()
    status = running.until(lambda s: s.counts.windows == 16 and sum(s.counts.rejects.values()) == 4)
    assert {name: (part.counts.windows, dict(part.counts.rejects)) for name, part in parts_of(status).items()} == {
        PUMPS: (10, {}),
        VALVES: (6, {"columns": 4}),
    }
    assert status.counts.rejects == {"columns": 4}
    running.replica.drain(SIZE)
    assert running.ended().error is None
    assert world.dead_letters[PUMPS].rejects == []
    assert [reject.record.offset for reject in world.dead_letters[VALVES].rejects] == [3, 4, 3, 4]
    assert world.online[VALVES].rows["p1",].features["embedding"].tolist() == [1.0, 2.0]
    assert world.offsets(PUMPS) == {index: ([0, 1, 2, 3, 4], 5) for index in (0, 1)}
    assert world.offsets(VALVES) == {index: ([0, 1, 2], 5) for index in (0, 1)}


def test_a_store_that_is_away_stops_its_own_artifact_and_no_other(world, both):
    world.online[VALVES].is_away = True
    world.produce(20, flow=[1.0], head=[2.0])
    running = both()
    status = running.until(lambda s: parts_of(s)[PUMPS].counts.windows == 20 and s.blocked)
    assert "the store is away" in status.blocked
    assert parts_of(status)[PUMPS].blocked is None
    assert parts_of(status)[VALVES].counts.windows == 0
    behind = running.until(lambda s: sum(parts_of(s)[PUMPS].lag.values()) == 0)
    assert sum(behind.lag.values()) > 0  # a fleet has caught up when all its artifacts have
    world.online[VALVES].is_away = False
    running.until(lambda s: s.counts.windows == 40 and s.blocked is None and sum(s.lag.values()) == 0)


def test_a_partition_is_held_until_no_stream_reads_it_any_more(world, both):
    world.produce(20, flow=[1.0], head=[2.0])
    running = both()
    running.until(lambda s: s.counts.windows == 40)
    world.online[VALVES].is_away = True
    world.produce(2, flow=[1.0], head=[2.0])
    running.until(lambda s: s.blocked)
    running.replica.assign([], SIZE)
    status = running.until(lambda s: not parts_of(s)[PUMPS].held)
    assert status.held == PARTITIONS
    world.online[VALVES].is_away = False
    running.until(lambda s: not s.held)
    assert {ends for _, ends in world.offsets(VALVES).values()} == {11}


def test_a_partition_that_one_stream_does_not_read_yet_counts_as_not_read(world, both):
    running, (one, _) = both(), sorted(PARTITIONS)
    running.until(lambda s: s.lag.keys() == PARTITIONS)
    running.replica.assign([one], SIZE)
    running.until(lambda s: all(part.lag.keys() == part.held == {one} for part in s.artifacts))
    world.online[VALVES].is_away = True
    world.produce(20, flow=[1.0], head=[2.0])
    running.until(lambda s: s.blocked)
    running.replica.assign(PARTITIONS, SIZE)
    status = running.until(lambda s: parts_of(s)[PUMPS].counts.windows == 20)
    assert status.lag.keys() == {one}


@pytest.mark.expects_errors
@pytest.mark.parametrize("error", [Refused("made anew"), Crash("a bug")])
def test_one_that_ends_ends_the_replica_and_the_others_finish(world, both, error):
    world.produce(20, flow=[1.0], head=[2.0])
    fails = threading.Event()
    running = both(polls=fails_when(fails, error))
    running.until(lambda s: s.counts.windows == 40)
    fails.set()
    status = running.ended()
    assert status.error.startswith(f"{VALVES}: {type(error).__name__}: {error}")
    assert status.fault == ("refused" if isinstance(error, Refused) else "crashed")
    shown = [str(raised) for raised in running.raised]
    assert shown == [status.error] * isinstance(error, Crash)  # to Ray, a bug is a task that failed
    assert world.offsets(PUMPS) == {index: (list(range(10)), 10) for index in (0, 1)}
    assert world.offsets(VALVES) == {}
    assert status.lag == {}


def test_a_replica_that_fails_does_not_wait_for_a_store_that_is_away(world, both):
    world.online[PUMPS].is_away = True
    world.produce(20, flow=[1.0], head=[2.0])
    fails = threading.Event()
    running = both(polls=fails_when(fails, Refused("made anew")))
    running.until(lambda s: s.blocked)
    fails.set()
    assert running.ended().error.startswith(f"{VALVES}: Refused: made anew")


def test_a_replica_runs_when_all_its_streams_are_open_and_ends_where_one_cannot_be(world):
    may_open = threading.Event()

    def refuse(_give_up):
        may_open.wait(20)
        message = "the view is missing"
        raise Refused(message)

    running = Running({PUMPS: world.opener(PUMPS), VALVES: refuse})
    assert running.replica.status().state == "starting"
    may_open.set()
    status = running.ended()
    assert (status.error, status.fault) == (f"{VALVES}: Refused: the view is missing", "refused")


def test_a_successor_goes_on_where_each_artifact_was(world, both):
    world.online[VALVES].is_away = True
    world.produce(20, flow=[1.0], head=[2.0])
    first = both(drain_timeout_seconds=0.0)
    first.until(lambda s: parts_of(s)[PUMPS].counts.windows == 20 and s.blocked)
    first.replica.drain(SIZE)
    ended = first.ended()
    assert (ended.error, ended.fault) == (f"{VALVES}: Unavailable: the store is away", "unavailable")
    assert (world.offsets(PUMPS)[0][1], world.offsets(VALVES)) == (10, {})
    world.online[VALVES].is_away = False
    second = both()
    status = second.until(lambda s: sum(s.lag.values()) == 0 and s.counts.windows == 20)
    assert {name: part.counts.windows for name, part in parts_of(status).items()} == {PUMPS: 0, VALVES: 20}
    second.replica.drain(SIZE)
    second.ended()
    assert world.offsets(VALVES) == world.offsets(PUMPS) == {index: (list(range(10)), 10) for index in (0, 1)}


def test_one_artifact_alone_runs_in_the_calling_thread_and_its_error_goes_without_its_name(world):
    seen = []

    def opens(give_up):
        seen.append(threading.current_thread())
        return world.opener(PUMPS, polls=iter([None, Refused("made anew")]))(give_up)

    running = Running({PUMPS: opens})
    running.replica.assign(PARTITIONS, SIZE)
    assert running.ended().error.startswith("Refused: made anew")
    assert seen == [running.thread]


def test_a_replica_that_is_told_to_run_again_goes_on_as_it_is(world, both):
    world.produce(6, flow=[1.0], head=[2.0])
    running = both()
    running.until(lambda s: s.counts.windows == 12)
    running.replica.run()  # returns
    assert running.replica.status().state == "running"
    running.replica.drain(SIZE)
    running.ended()
    running.replica.run()
    assert world.offsets(PUMPS) == {index: ([0, 1, 2], 3) for index in (0, 1)}
