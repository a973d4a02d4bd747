"""Who is suspected of what, for any history."""

from hypothesis import given
from hypothesis import strategies as st

from undertow.fleet.suspects import (
    ENDS_OF_ONE,
    FORGET_S,
    STEPS,
    Incident,
    PartitionProgress,
    decide_suspects,
    learn,
    quarantine_order_of,
)
from undertow.schemas.records import Partition

KEY = ("a", Partition("windows", 0))


def end(position=7, step=0, at=0.0, reason="kills-replica", read_to=None):
    return Incident(key=KEY, position=position, step=step, at=at, reason=reason, read_to=read_to)


def step_of(*history):
    return quarantine_order_of(decide_suspects(history)).steps.get(KEY[1])


def test_one_end_is_no_evidence_and_two_at_one_position_are():
    assert step_of(end()) is None
    assert step_of(end(), end()) == STEPS[0]
    assert step_of(end(), end(position=None)) == STEPS[0]  # it died before it said where it began


def test_two_ends_at_two_positions_or_long_apart_are_no_evidence():
    assert step_of(end(), end(position=8)) is None
    assert step_of(end(), PartitionProgress(key=KEY, position=8), end(position=None)) is None
    assert step_of(end(), end(at=FORGET_S + 1)) is None


def test_each_end_of_a_step_makes_it_smaller_and_what_passes_makes_it_larger_again():
    begun = [end(), end()]
    assert step_of(*begun, end(step=256)) == 16
    assert step_of(*begun, end(step=256), PartitionProgress(key=KEY, position=23)) == 16
    assert step_of(*begun, end(step=256), PartitionProgress(key=KEY, position=23), end(position=23, step=16)) == 1
    assert step_of(*begun, end(step=256), PartitionProgress(key=KEY, position=7 + 256)) == 256


def test_an_end_of_one_record_alone_condemns_it_when_it_was_not_by_chance():
    alone = [end(), end(), end(step=256), end(step=16)]
    assert not quarantine_order_of(decide_suspects([*alone, end(step=1)])).refused
    assert quarantine_order_of(decide_suspects([*alone, end(step=1), end(step=1)])).refused == {
        KEY: (7, "kills-replica")
    }
    assert quarantine_order_of(decide_suspects([*alone, end(step=1, reason="hangs")])).refused == {KEY: (7, "hangs")}
    moved = [end(step=1), PartitionProgress(key=KEY, position=8), end(position=8, step=1)]
    assert not quarantine_order_of(decide_suspects([*alone, *moved])).refused


def test_a_record_stays_refused_for_its_own_reason_whatever_ends_a_replica_before_it_is_passed():
    hung = [end(), end(), end(step=256), end(step=16), end(step=1, reason="hangs")]
    assert quarantine_order_of(decide_suspects([*hung, end(step=256)])).refused == {KEY: (7, "hangs")}


def test_a_refused_record_at_which_replicas_still_end_is_not_even_looked_at_until_it_is_passed():
    condemned = [end(), end(), end(step=256), end(step=16), end(step=1), end(step=1)]
    assert not quarantine_order_of(decide_suspects([*condemned, end(step=1)])).unseen, "that may be by chance"
    again = [*condemned, end(step=1), end(step=1)]
    order = quarantine_order_of(decide_suspects(again))
    assert (order.refused, order.unseen) == ({KEY: (7, "kills-replica")}, {KEY})
    assert order.of(frozenset()).unseen == frozenset()
    passed = [*again, PartitionProgress(key=KEY, position=8), end(position=8, step=1), end(position=8, step=1)]
    order = quarantine_order_of(decide_suspects(passed))
    assert (order.refused, order.unseen) == ({KEY: (8, "kills-replica")}, frozenset())


def test_it_is_read_as_ever_again_when_it_is_read_up_or_far_enough():
    begun = [end(), end(read_to=50)]
    assert step_of(*begun, PartitionProgress(key=KEY, position=20)) == 256
    assert step_of(*begun, PartitionProgress(key=KEY, position=20, is_read_up=True)) is None
    assert step_of(*begun, PartitionProgress(key=KEY, position=50 + 5_000)) is None


reasons = st.sampled_from(("kills-replica", "hangs"))
events = st.one_of(
    st.builds(end, position=st.one_of(st.none(), st.integers(0, 40)), at=st.floats(0, 1000), reason=reasons),
    st.builds(end, position=st.integers(0, 40), step=st.sampled_from(STEPS), at=st.floats(0, 1000), reason=reasons),
    st.builds(PartitionProgress, key=st.just(KEY), position=st.integers(0, 40), is_read_up=st.booleans()),
)


@given(history=st.lists(events, max_size=30))
def test_nothing_is_condemned_but_one_record_that_was_read_alone_as_often_as_it_takes(history):
    quarantine = quarantine_order_of(decide_suspects(history))
    assert set(quarantine.steps.values()) <= set(STEPS)
    for (_, partition), (position, reason) in quarantine.refused.items():
        assert quarantine.steps[partition] in STEPS
        alone = [one for one in history if isinstance(one, Incident) and one.step == 1 and one.position == position]
        assert len(alone) >= min(ENDS_OF_ONE.values())
        assert reason in {one.reason for one in alone}


@given(history=st.lists(events, max_size=30))
def test_a_new_controller_learns_from_the_order_that_replicas_carry_what_the_old_one_had_ordered(history):
    quarantine = quarantine_order_of(decide_suspects(history))
    assert quarantine_order_of(learn(quarantine, ["a"], {})) == quarantine
