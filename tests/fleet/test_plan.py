import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from undertow.fleet.plan import LEAST_GAIN, LEAST_OFFSETS, plan
from undertow.schemas.records import Partition

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


@st.composite
def lagging(draw: st.DrawFn) -> tuple[list[Partition], list[str], dict[Partition, str], dict[Partition, int]]:
    wanted, replicas, current = draw(situations())
    known = st.sampled_from(wanted) if wanted else st.nothing()
    return wanted, replicas, current, draw(st.dictionaries(known, st.integers(0, 10**6)))


def behind(replicas, owner_of, lag):
    return {name: sum(lag.get(p, 0) for p, owner in owner_of.items() if owner == name) for name in replicas}


@given(lagging())
def test_lag_never_costs_the_balance_of_counts_and_a_plan_by_lag_is_not_changed_again(situation):
    wanted, replicas, current, lag = situation
    owner_of = plan(wanted, replicas, current, lag)
    loads = Counter(dict.fromkeys(replicas, 0)) + Counter(owner_of.values())
    assert sorted(owner_of) == (wanted if replicas else [])
    assert not replicas or max(Counter(owner_of.values()).values(), default=0) <= -(-len(wanted) // len(replicas))
    assert all(loads[name] >= len(wanted) // len(replicas) for name in replicas)
    assert plan(wanted, replicas, current, lag) == owner_of
    assert plan(wanted, replicas, owner_of, lag) == owner_of
    assert plan(wanted, replicas, owner_of) == owner_of


@given(lagging())
def test_from_nothing_the_lags_of_two_replicas_differ_by_one_partitions_at_most(situation):
    wanted, replicas, _, lag = situation
    loads = behind(replicas, plan(wanted, replicas, {}, lag), lag).values()
    assert max(loads, default=0) - min(loads, default=0) <= max(lag.values(), default=0)


@given(lagging())
def test_no_exchange_is_left_that_would_pay(situation):
    wanted, replicas, current, lag = situation
    owner_of = plan(wanted, replicas, current, lag)
    loads = behind(replicas, owner_of, lag)
    if not loads:
        return
    worst = max(loads.values())
    needed = max(LEAST_OFFSETS, LEAST_GAIN * worst)
    for name in (name for name, load in loads.items() if load == worst):
        for p, q in itertools.product(wanted, wanted):
            if owner_of[p] == name != owner_of[q]:
                less = lag.get(p, 0) - lag.get(q, 0)
                after = max(worst - less, loads[owner_of[q]] + less)
                assert worst - after < needed or sum(load == worst for load in loads.values()) > 1


@given(situations(), st.lists(st.integers(0, LEAST_OFFSETS // 100), min_size=40, max_size=40))
def test_small_lags_move_nothing(situation, lags):
    wanted, replicas, current = situation
    settled = plan(wanted, replicas, current)
    assert plan(wanted, replicas, settled, dict(zip(partitions(40), lags, strict=True))) == settled


def test_two_laggards_at_one_replica_are_taken_apart_by_one_exchange():
    current = {p: "replica-1" if p.index < 2 else "replica-2" for p in partitions(4)}
    lag = {Partition("windows", 0): 50_000, Partition("windows", 1): 40_000}
    owner_of = plan(partitions(4), ["replica-1", "replica-2"], current, lag)
    assert owner_of[Partition("windows", 0)] != owner_of[Partition("windows", 1)]
    assert sum(owner_of[p] != owner for p, owner in current.items()) == 2


def test_the_orphans_go_largest_first_to_whom_is_the_least_behind():
    current = {Partition("windows", 0): "replica-1", Partition("windows", 1): "replica-2"}
    lag = dict(zip(partitions(4), [900, 0, 800, 10], strict=True))
    owner_of = plan(partitions(4), ["replica-1", "replica-2"], current, lag)
    assert owner_of[Partition("windows", 2)] == "replica-2"
    assert owner_of[Partition("windows", 3)] == "replica-1"
