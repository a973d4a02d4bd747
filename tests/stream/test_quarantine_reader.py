"""Reading quarantined partitions beside others: fair turns, and work while waiting for one."""

from dataclasses import replace

from undertow.schemas.records import Partition
from undertow.stream.quarantine_order import PollScope, QuarantineOrder
from undertow.stream.quarantine_reader import ASKS_AGAIN_S, WAIT, QuarantineReader, Turn

ZERO = Partition("windows", 0)


def test_who_has_had_its_turn_waits_until_those_who_asked_meanwhile_have_had_theirs():
    turn = Turn(clock=lambda: 0.0)
    assert turn.take("a")
    assert not turn.take("b")
    assert not turn.take("c")
    had = ["a"]
    for _ in range(5):
        turn.give(had[-1])
        had += [one for one in ("a", "b", "c") if turn.take(one)]
    assert had == ["a", "b", "c", "a", "b", "c"]


def test_who_asked_and_does_not_ask_again_keeps_nobody_waiting():
    now = [0.0]
    turn = Turn(clock=lambda: now[0])
    assert turn.take("a")
    assert not turn.take("b")
    turn.give("a")
    assert not turn.take("a"), "b asked before"
    now[0] += ASKS_AGAIN_S + 0.1
    assert turn.take("a")


def test_two_that_read_the_same_partition_with_care_come_on_step_by_step_beside_each_other():
    turn = Turn()
    first, second = QuarantineReader("first", turn), QuarantineReader("second", turn)
    positions = {first: 0, second: 0}
    for reader in positions:
        reader.order(QuarantineOrder(steps={ZERO: 1}))
    for _ in range(100):
        for reader, position in positions.items():
            within = reader.next_scope({ZERO: position}, 0.0)
            reader.ask(is_heartbeat=True)
            if isinstance(within, PollScope):
                positions[reader] += 1
            if within is not WAIT:
                reader.done()
    assert min(positions.values()) >= 10, positions.values()
    assert abs(positions[first] - positions[second]) <= 1


def test_a_stream_that_waits_for_its_turn_commits_what_has_become_durable(world):
    world.produce("pump-0", 1)
    stream = world.stream()
    stream._limits = replace(stream._limits, poll_timeout_s=0.0, checkpoint_seconds=0.0)
    stream.assign([ZERO])
    stream.step()
    stream._checkpoints._under_way[1].result()
    turn = Turn()
    stream.quarantine = QuarantineReader("a", turn)
    stream.quarantine.order(QuarantineOrder(steps={ZERO: 1}))
    assert turn.take("another")
    assert not stream.step()
    assert world.broker.committed == {ZERO: 1}
    stream.close()
