from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Partition
from workers.fleet.plan import plan

REPLICAS = st.lists(st.sampled_from([f"replica-{n}" for n in range(1, 9)]), unique=True)


def partitions(count: int) -> list[Partition]:
    return [Partition("windows", index) for index in range(count)]


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Partition], list[str], dict[Partition, str]]:
    wanted = partitions(draw(st.integers(0, 40)))
    owners = st.none() | st.sampled_from([f"replica-{n}" for n in range(1, 12)])
    current = {p: owner for p in wanted if (owner := draw(owners)) is not None}
    return wanted, draw(REPLICAS), current


@given(situations())
def test_every_partition_has_one_living_owner_and_loads_differ_by_one_at_most(situation):
    wanted, replicas, current = situation
    owner_of = plan(wanted, replicas, current)
    if not replicas:
        assert owner_of == {}
        return
    assert sorted(owner_of) == wanted
    loads = Counter(dict.fromkeys(replicas, 0))
    loads.update(owner_of.values())
    assert set(loads) == set(replicas)
    assert max(loads.values()) - min(loads.values()) <= 1


@given(situations())
def test_no_partition_moves_that_balance_does_not_force(situation):
    wanted, replicas, current = situation
    owner_of = plan(wanted, replicas, current)
    kept = Counter(owner for p, owner in current.items() if owner in replicas and owner_of[p] == owner)
    had = sorted((Counter(owner for owner in current.values() if owner in replicas)).values(), reverse=True)
    if not replicas:
        return
    share, extra = divmod(len(wanted), len(replicas))
    # The most that any balanced assignment can keep: the largest holders get the larger shares.
    most = sum(min(count, share + (place < extra)) for place, count in enumerate(had))
    assert kept.total() == most


@given(situations())
def test_a_plan_that_was_carried_out_is_not_changed_again(situation):
    wanted, replicas, current = situation
    owner_of = plan(wanted, replicas, current)
    assert plan(wanted, replicas, owner_of) == owner_of


def test_the_partitions_of_a_dead_replica_go_to_the_living_and_theirs_stay():
    current = {p: f"replica-{1 + p.index % 2}" for p in partitions(8)}
    owner_of = plan(partitions(8), ["replica-2"], current)
    assert set(owner_of.values()) == {"replica-2"}
    owner_of = plan(partitions(8), ["replica-2", "replica-3"], current)
    assert all(owner_of[p] == "replica-2" for p, owner in current.items() if owner == "replica-2")
